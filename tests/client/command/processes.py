"""The command, as a process."""

import os
import subprocess
import sys

from tests.system.serving import ROOT


def process(*words: str, **options) -> subprocess.Popen:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GANSERVE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "ganserve", *words],
        cwd=ROOT,
        env=environ | {"TERM": "xterm"},
        **options,
    )
