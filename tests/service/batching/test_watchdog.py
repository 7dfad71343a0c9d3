"""In processes of their own: what it does is end them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, ctypes, threading, time
from service.machine import logs
from service.batching.forward_pass import Pass
from service.batching.watchdog import Watchdog

logs.configure()

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


def start(seconds: str, body: str, setup: str) -> subprocess.Popen[str]:
    program = PROGRAM.format(seconds=seconds, body=body, setup=setup)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# They would hang for longer than the test waits, which a busy machine may need to start four of them.
HANG = {
    "The event loop does not turn": ("time.sleep(200)", ""),
    "A forward pass of tiny runs": ("await asyncio.sleep(200)", 'passes = lambda: [Pass("tiny", began)]'),
    # With the interpreter's lock held, so that no other thread of Python's can do anything.
    "Timeout": ("ctypes.PyDLL(None).sleep(200)", ""),
    "It was to be over by now": ("watchdog.end_within(0.2); await asyncio.sleep(200)", ""),
}


def test_processes_that_hang_end_and_say_where():
    started = {says: start("0.6", body, setup) for says, (body, setup) in HANG.items()}
    for says, process in started.items():
        output, log = process.communicate(timeout=100)
        assert (process.returncode, output) == (1, ""), says
        assert says in log
        assert ", line " in log


WORK = {
    # Each pass is short, and one is always running.
    "1.5": ("await asyncio.sleep(2.5)", 'passes = lambda: [Pass("tiny", time.monotonic() - 0.3)]'),
    "float('inf')": ("time.sleep(0.5)", ""),
}


def test_processes_that_work_go_on():
    started = [start(seconds, body, setup) for seconds, (body, setup) in WORK.items()]
    for process in started:
        output, log = process.communicate(timeout=30)
        assert (process.returncode, output, log) == (0, "went on\n", "")


def test_a_process_that_stood_still_goes_on():
    setup = 'passes = lambda: [Pass("tiny", began)]'
    # Its pass is at work for longer than it may be, but for the pause.
    body = 'print("runs", flush=True)\n    for _ in range(10): await asyncio.sleep(0.1)'
    process = start("2", body, setup)
    assert process.stdout
    assert process.stdout.readline() == "runs\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    process.send_signal(signal.SIGCONT)
    output, log = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "went on\n"), log
