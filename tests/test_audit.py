import json
import runpy
from pathlib import Path

verdict = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "audit.py"))["verdict"]


def report(*packages: dict) -> str:
    """As pip-audit writes it."""
    return json.dumps({"dependencies": list(packages), "fixes": []})


SOUND = {"name": "sound", "version": "1.0", "vulns": []}
HOLED = {
    "name": "holed",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}],
}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_a_hole_fails_and_is_named_with_what_mends_it():
    code, text = verdict(report(SOUND, HOLED, UNKNOWN), "Found 1 known vulnerability in 1 package")
    assert code == 1
    assert "holed 2.0: PYSEC-2026-1, mended in 2.1" in text


def test_packages_without_a_hole_pass_and_what_could_not_be_asked_is_not_counted():
    assert verdict(report(SOUND, UNKNOWN), "") == (0, "audit: no known vulnerability in 1 of 2 packages")


def test_where_nothing_can_be_asked_it_says_so_and_passes():
    for answered, said in (
        ("", "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"),
        ("", ""),
        ("[", "x"),
    ):
        code, text = verdict(answered, said)
        assert (code, text.startswith("audit: skipped")) == (0, True)
    assert verdict(report(UNKNOWN), "") == (
        0,
        "audit: skipped, the index here knows nothing of the 1 packages' vulnerabilities",
    )
