"""Whoever looks on at a terminal sees what an import is doing."""

import os
import subprocess
import sys
from functools import partial

from tests.importing import foreign
from tests.importing.foreign import save
from tests.system.serving import ROOT
from tests.terminal import on_a_terminal


def test_an_import_says_on_a_terminal_what_it_does_and_takes_it_away_again(tmp_path):
    file = save(foreign.biggan(), tmp_path / "theirs.onnx")
    words = [str(file), "--check", "--constant", "truncation=1"]
    command = [sys.executable, "-m", "ganserve.importing.command", *words]
    ended = on_a_terminal(partial(subprocess.Popen, command, cwd=ROOT, env=os.environ | {"TERM": "xterm"}))
    assert b"Looking into theirs.onnx ..." in ended.shown
    assert ended.shown.endswith(b"\r\x1b[K")
    assert b"Looking" not in ended.stdout
