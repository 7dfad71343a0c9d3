"""A run that is killed and resumed ends in the bits of one that never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.training.tiny import TINY, write_npz
from training.run.checkpoint import FILE_NAME

KILLS = 20


class Commands:
    """forked_commands.py as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def start(self, *arguments: object) -> int:
        """Start a command; returns its process's id."""
        assert self.process.stdin
        print(json.dumps([str(argument) for argument in arguments]), file=self.process.stdin, flush=True)
        return self._answer("pid")

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return self._answer("status")

    def _answer(self, word: str) -> int:
        assert self.process.stdout
        name, _, number = self.process.stdout.readline().partition(" ")
        assert name == word
        return int(number)


@contextmanager
def commands() -> Iterator[Commands]:
    program = [sys.executable, "-m", "tests.training.forked_commands"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield Commands(process)
        assert process.stdin
        process.stdin.close()


def test_run_killed_at_twenty_random_moments_ends_bit_equal(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz")

    def train(run: Path) -> list[object]:
        options = ["--images", 200, "--checkpoint-every", 8, "--samples-every", 120, "--no-tensorboard"]
        # Augmentation and R1 draw too; the rate of the average and the learning rate move.
        return ["train", "--data", data, "--run", run, *TINY, *options, "--augment", "translation,cutout"]

    rng = random.Random(0)
    with commands() as processes:
        began = time.monotonic()
        processes.start(*train(tmp_path / "whole"))
        assert processes.wait() == 0
        duration = time.monotonic() - began
        expected = (tmp_path / "whole" / FILE_NAME).read_bytes()

        killed = killed_inside_write = finished = 0
        while killed < KILLS or not finished:
            run = tmp_path / f"killed-{finished}"
            pid = processes.start(*train(run))
            partial = run / (FILE_NAME + ".partial")
            if killed < KILLS:
                # Every second one dies while it writes a checkpoint, one of its first three.
                if killed % 2:
                    killer = threading.Thread(target=kill_in_write, args=(pid, partial, rng.randint(1, 3)))
                else:
                    killer = threading.Thread(target=kill_after, args=(pid, rng.uniform(0, duration / 4)))
                killer.start()
                status = processes.wait()
                killer.join()
            else:
                status = processes.wait()
            if status == -signal.SIGKILL:
                killed += 1
                killed_inside_write += partial.exists()
            else:
                assert status == 0
                assert (run / FILE_NAME).read_bytes() == expected
                finished += 1
    assert killed_inside_write >= KILLS // 4


def kill_after(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    kill(pid)


def kill_in_write(pid: int, file: Path, writes: int) -> None:
    """Kill as soon as this file has been written so many times, unless the process ends first."""
    # An earlier kill may have left one.
    last = modified(file)
    while alive(pid):
        now = modified(file)
        if now not in (None, last):
            last, writes = now, writes - 1
            if writes == 0:
                break
        time.sleep(0.0002)
    kill(pid)


def modified(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(pid: int) -> None:
    if alive(pid):
        os.kill(pid, signal.SIGKILL)
