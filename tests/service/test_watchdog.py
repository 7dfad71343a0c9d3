"""In processes of their own: what it does is end them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, ctypes, threading, time
from service.lanes import Pass
from service.watchdog import Watchdog

async def main():
    began = time.monotonic()
    passes = lambda: []
    {setup}
    watchdog = Watchdog({seconds}, asyncio.get_running_loop(), passes)
    watchdog.start()
    await asyncio.sleep(0.1)
    {body}
    print("went on", flush=True)

asyncio.run(main())
"""


def run(seconds: str, body: str, setup: str = "") -> tuple[int, str, str, float]:
    """Exit status, output, log, and seconds from start to end."""
    program = PROGRAM.format(seconds=seconds, body=body, setup=setup)
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    return ended.returncode, ended.stdout, ended.stderr, time.monotonic() - begun


@pytest.mark.parametrize(
    ("body", "setup", "says"),
    [
        ("time.sleep(20)", "", "The event loop does not turn"),
        ("await asyncio.sleep(20)", 'passes = lambda: [Pass("tiny", began)]', "A forward pass of tiny runs"),
        # With the interpreter's lock held, so that no other thread of Python's can do anything.
        ("ctypes.PyDLL(None).sleep(20)", "", "Timeout"),
        ("watchdog.end_within(0.2); await asyncio.sleep(20)", "", "It was to be over by now"),
    ],
)
def test_a_process_that_hangs_ends_and_says_where(body, setup, says):
    status, output, log, seconds = run("0.6", body, setup)
    assert (status, output) == (1, "")
    assert says in log
    assert "(most recent call first)" in log
    assert seconds < 15


@pytest.mark.parametrize(
    ("seconds", "body", "setup"),
    [
        # Each pass is short, and one is always running.
        ("1.2", "await asyncio.sleep(2)", 'passes = lambda: [Pass("tiny", time.monotonic() - 0.3)]'),
        ("float('inf')", "time.sleep(0.5)", ""),
    ],
)
def test_a_process_that_works_goes_on(seconds, body, setup):
    status, output, log, _ = run(seconds, body, setup)
    assert (status, output, log) == (0, "went on\n", "")
