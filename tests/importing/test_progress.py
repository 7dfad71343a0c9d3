"""Whoever looks on at a terminal sees what an import is doing."""

import os
import pty
import subprocess
import sys

from tests.importing import foreign
from tests.importing.foreign import save
from tests.system.serving import ROOT


def test_an_import_says_on_a_terminal_what_it_does_and_takes_it_away_again(tmp_path):
    file = save(foreign.biggan(), tmp_path / "theirs.onnx")
    words = [str(file), "--check", "--constant", "truncation=1", "--range", "0..1"]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ganserve.importing.command", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs
    ) as one:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        out = one.stdout.read() if one.stdout else b""
    os.close(ours)
    assert b"Looking into theirs.onnx ..." in shown
    assert shown.endswith(b"\r\x1b[K")
    assert b"Looking" not in out
