"""python -m benchmarks.gpu [--cpu] [--only golden,speed] [--seconds 240] [--out gpu-check]

Part by part, each in a process of its own that is ended when its time is over. Every row is printed and on disk before
the next is measured. Exit code: 0; 1, a check failed; 2, there is no GPU.
"""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.card import Card, NoCard
from benchmarks.gpu.part import Part

ROOT = Path(__file__).parents[2]
PARTS = {"there": 18, "golden": 35, "speed": 85, "ways": 40, "pytorch": 50, "service": 35}
"""By name, which is the module's, their shares of the time."""
_START_SECONDS = 8.0
"""A process's: imports, CUDA's context. Also what it may be late by."""
OK, FAILED, NO_GPU = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    names = asked.only.split(",") if asked.only else list(PARTS)
    if unknown := set(names) - set(PARTS):
        _parser().error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if asked.cpu:
        # A GPU that is there is not for the rehearsal.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    else:
        try:
            Card()
        except NoCard as error:
            print(f"No GPU to check: {error}. (--cpu rehearses everything on the CPU.)", file=sys.stderr)
            return NO_GPU
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.inside:
        return _run(names[0], asked)
    end = time.monotonic() + asked.seconds
    failed = []
    for place, name in enumerate(names):
        # What earlier parts did not need is the later ones'.
        share = PARTS[name] / sum(PARTS[one] for one in names[place:])
        seconds = share * (end - time.monotonic())
        if code := _child(name, seconds, end, asked):
            failed.append(f"{name} ({code})")
    print(
        f"Failed: {', '.join(failed)}." if failed else "Every check holds.",
        f"The figures are in {asked.out}/.",
    )
    return FAILED if failed else OK


def _child(name: str, seconds: float, end: float, asked: argparse.Namespace) -> str | None:
    """What failed, in words. seconds: of this part; end: of all of them, by time.monotonic()."""
    figures = asked.out.resolve() / f"{name}.json"
    figures.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "benchmarks.gpu",
        "--inside",
        "--only",
        name,
        "--out",
        str(figures.parent),
    ]
    command += ["--seconds", str(max(1.0, seconds - _START_SECONDS / 2))] + ["--cpu"] * asked.cpu
    code = _wait(command, max(1.0, min(seconds + _START_SECONDS, end - time.monotonic())))
    if code is None:
        print(f"[{name}] was ended: its time was over", flush=True)
        if not figures.exists():
            return "its time was over before anything was measured"
        checks = json.loads(figures.read_text(encoding="utf-8"))["checks"]
        code = OK if all(check["holds"] for check in checks) else FAILED
    if code in (OK, FAILED):
        return "a check" if code else None
    return f"it ended with {code}"


def _wait(command: Sequence[str], seconds: float) -> int | None:
    """Its exit code; None if its time was over. What it started ends with it."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _run(name: str, asked: argparse.Namespace) -> int:
    part = Part(name, asked.out, asked.seconds, None if asked.cpu else Card())
    try:
        importlib.import_module(f"benchmarks.gpu.{name}").run(part)
    except Exception as error:  # what the part itself did not expect: the others go on, and this is on disk
        traceback.print_exc()
        part.check(f"{name} runs to its end", False, f"{type(error).__name__}: {error}")
    return FAILED if part.failed else OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.gpu", description="What this machine's GPU gives.")
    parser.add_argument("--only", default="", help=f"parts, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--cpu", action="store_true", help="rehearse on the CPU provider")
    parser.add_argument("--seconds", type=float, default=240, help="for everything (240)")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu-check"), help="folder of the figures (gpu-check)"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
