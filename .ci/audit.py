"""Are there known vulnerabilities in what the service installs? pip-audit asks PyPI about requirements.lock.

Where PyPI can't be asked (no network, or a mirror without its vulnerability feed) it says so and is no failure.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
SECONDS = 120


def verdict(report: str, said: str) -> tuple[int, str]:
    """Exit status and text. report: pip-audit's JSON, or nothing; said: its standard error."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        last = said.strip().splitlines()[-1:] or ["no answer"]
        return 0, f"audit: skipped, pip-audit could not ask PyPI: {last[0][:200]}"
    asked = [package for package in packages if "vulns" in package and "skip_reason" not in package]
    found = [
        f"  {package['name']} {package['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in asked
        for hole in package["vulns"]
    ]
    if found:
        return 1, "\n".join(["audit: known vulnerabilities in requirements.lock:", *found])
    if not asked:
        return (
            0,
            f"audit: skipped, the index here knows nothing of the {len(packages)} packages' vulnerabilities",
        )
    return 0, f"audit: no known vulnerability in {len(asked)} of {len(packages)} packages"


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        code, text = verdict(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        code, text = 0, f"audit: skipped, PyPI did not answer within {SECONDS} seconds"
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
