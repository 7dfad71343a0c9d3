"""What is said on stderr, by processes whose stderr is a file, and a terminal."""

import json
import os
import pty
import subprocess
import sys

from tests.system.serving import ROOT

PROGRAM = """
import logging, sys, threading, warnings
from service.machine import logs

logs.configure()
log = logging.getLogger("bentoml.ganserve.batcher")

def broken(kind):
    raise kind("\\x1b[31mno such thing\\nat all")

for number, kind in enumerate([ValueError, ValueError, KeyError]):
    try:
        broken(kind)
    except Exception as error:
        log.error("a pass failed", exc_info=error, extra={"event": "pass_failed", "failure": f"f{number}", "request": "mine"})
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
logging.getLogger("circus").error("somebody died")
logging.getLogger("bentoml.serve").info("Starting production server (Press CTRL+C to quit)")
logging.getLogger("h5py").info("not interesting")
warnings.warn("old", DeprecationWarning)
thread = threading.Thread(target=broken, args=(OSError,), name="lane")
thread.start()
thread.join()
"""


def lines(end: str = "") -> list[dict[str, str]]:
    command = [sys.executable, "-W", "always", "-c", PROGRAM + end]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.stdout == ""
    assert said.returncode == bool(end)
    return [json.loads(line) for line in said.stderr.splitlines()]


def test_each_event_is_one_line_of_json_and_libraries_speak_the_same_way():
    said = lines()
    assert all({"time", "level", "event", "message", "pid"} <= line.keys() for line in said)
    others = [(line["event"], line["level"]) for line in said[3:]]
    assert others == [
        ("uvicorn.error", "warning"),
        ("circus", "error"),
        ("py.warnings", "warning"),
        ("thread_ends", "error"),
    ]


def test_a_failure_has_its_ids_and_only_the_first_of_a_kind_its_traceback():
    first, second, other = (line for line in lines() if line["event"] == "pass_failed")
    assert (first["failure"], first["request"], second["failure"]) == ("f0", "mine", "f1")
    assert "in broken" in first["traceback"]
    assert "traceback" not in second
    assert second["error"] == "ValueError: \x1b[31mno such thing\nat all"
    assert "KeyError" in other["traceback"]


def test_what_ends_the_process_is_a_line_too():
    assert lines("raise LookupError('nobody caught it')")[-1]["error"] == "LookupError: nobody caught it"
    refused = lines("logs.refuse('no memory')")[-1]
    assert (refused["event"], refused["message"]) == ("refused_to_start", "no memory")


def test_a_terminal_gets_lines_to_read():
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM + "logs.refuse('no memory')"]
    with subprocess.Popen(command, cwd=ROOT, stderr=theirs):
        os.close(theirs)
        said = ""
        try:
            while part := os.read(ours, 65536):
                said += part.decode()
        except OSError:  # Linux's way to say that nobody writes any more
            pass
    os.close(ours)
    assert "\x1b" not in said, "what was not meant to steer the terminal"
    found = said.splitlines()
    assert "error: a pass failed (request mine, failure f0)" in found[0]
    assert found[-1] == "ganserve: no memory"
    assert said.count("Traceback") == 3, "ValueError, KeyError and that of the thread"
