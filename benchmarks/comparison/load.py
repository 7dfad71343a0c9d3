"""wrk: the load, from a process of its own."""

import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from benchmarks.comparison.workloads import Workload

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT_SECONDS = 60  # wrk counts an answer that took longer as an error; its own default is 2


class WrkFailed(Exception):
    """wrk is not there, ended with an error, or printed no result."""


class Load(msgspec.Struct, frozen=True):
    """What the clients saw."""

    requests: int
    """Answered, those that were refused included."""
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    """Answers other than 2xx."""
    lost: int
    """Connections refused, reset or closed under a request, and answers after the timeout."""


def require_wrk() -> str:
    """wrk's path. Raises WrkFailed, saying how to get it."""
    path = shutil.which("wrk")
    if path is None:
        raise WrkFailed(
            "wrk, the load generator, is not on PATH: `apt-get install wrk` on Debian and Ubuntu, `brew install wrk` on macOS."
        )
    return path


def run(url: str, workload: Workload, seconds: int) -> Load:
    """Load `url` for that long. Raises WrkFailed."""
    command = [
        *(
            require_wrk(),
            "-t1",
            f"-c{workload.connections}",
            f"-d{seconds}s",
            f"--timeout={TIMEOUT_SECONDS}s",
        ),
        *("-s", str(SCRIPT), url, "--", str(workload.n), workload.format),
    ]
    wrk = subprocess.run(command, capture_output=True, text=True)
    if wrk.returncode:
        raise WrkFailed(f"wrk ended with {wrk.returncode}: {wrk.stderr or wrk.stdout}")
    return parse(wrk.stdout)


def parse(output: str) -> Load:
    """The result among all that wrk printed. Raises WrkFailed."""
    line = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    if line is None:
        raise WrkFailed(f"wrk printed no result: {output}")
    return msgspec.json.decode(line[1], type=Load)
