"""The measurement: alternation by alternation, model by model, server by server, load by load."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from benchmarks.comparison import load
from benchmarks.comparison.load import WrkFailed
from benchmarks.comparison.raw_limit import Facts, RawLimit
from benchmarks.comparison.report import Cell, Failure, Run
from benchmarks.comparison.workloads import Workload
from benchmarks.server import machine
from benchmarks.server.probe import LivezProbe
from benchmarks.server.running import Running, ServerFailed, free_port, running, scratch
from benchmarks.server.servers import ONNXRUNTIME, ROOT, Server, environment

T = TypeVar("T")
WARM_UP_SECONDS = 1


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    servers: Sequence[Server]
    models: Sequence[str]
    workloads: Sequence[Workload]
    alternations: int
    seconds: int
    """A load; longer where a client would not get three answers."""

    @property
    def loads(self) -> int:
        return self.alternations * len(self.models) * len(self.servers) * len(self.workloads)


@dataclass(frozen=True)
class Task:
    """What one server is measured with."""

    server: Server
    model: str
    file: Path
    z_dim: int
    engine: tuple[str, str]
    """Name and precision."""
    raw: RawLimit


def measure(plan: Plan, folder: Path, run: Run, report: Callable[[str, int], None]) -> None:
    """Fill `run` with everything that `plan` asks for; a server that fails is noted, and the others go on.

    folder: where the models are written. report: told what begins, and how many loads are done or passed over.
    """
    report("making the models", 0)
    _child("benchmarks.models", str(folder), *plan.models)
    files = {model: folder / model / model / "generator.onnx" for model in plan.models}
    facts = {
        model: _child_json(Facts, "benchmarks.comparison.raw_limit", str(file), "auto")
        for model, file in files.items()
    }
    failed: set[tuple[str, Server]] = set()
    for alternation in range(plan.alternations):
        # Every other time backwards, so that no server always follows the same one.
        order = plan.servers[::-1] if alternation % 2 else plan.servers
        for model in plan.models:
            default = facts[model].default_engine, facts[model].default_precision
            openvino = default if default[0] == "openvino" else ("openvino", "fp32")
            raw: dict[tuple[str, str], RawLimit] = {}
            for server in order:
                engine = openvino if server.openvino else ONNXRUNTIME if server.workers else default
                if (model, server) in failed or (
                    server.openvino and not importlib.util.find_spec("openvino")
                ):
                    report("", len(plan.workloads))
                    continue
                if engine not in raw:
                    report(f"{model}, raw limit of {engine[0]}", 0)
                    arguments = (str(files[model]), *engine, str(2 * plan.seconds))
                    raw[engine] = _child_json(RawLimit, "benchmarks.comparison.raw_limit", *arguments)
                    run.raw.setdefault(model, []).append(raw[engine])
                task = Task(server, model, files[model], facts[model].z_dim, engine, raw[engine])
                before = len(run.cells)
                try:
                    for cell in _cells(task, plan, report):
                        run.cells.append(cell)
                        report("", 1)
                except (ServerFailed, WrkFailed, psutil.Error) as failure:
                    failed.add((model, server))
                    run.failures.append(Failure(model, server.name, str(failure)))
                    report("", len(plan.workloads) - (len(run.cells) - before))


def _cells(task: Task, plan: Plan, report: Callable[[str, int], None]) -> Iterator[Cell]:
    """Start the server, compare its answers, load it with one workload after another, stop it."""
    name = f"{task.model}, {task.server.name}"
    report(f"{name}: starts", 0)
    port = free_port()
    cores = machine.available_cpus()
    with scratch() as home:
        environ = environment(task.server, task.file, task.engine, task.z_dim, cores, port, home)
        with running(task.server.start(port), environ, port, home) as started:
            _require_same_answer(task, started)
            for workload in plan.workloads:
                report(f"{name}: {workload.name}", 0)
                yield _cell(task, workload, started, plan.seconds)


def _cell(task: Task, workload: Workload, started: Running, wanted_seconds: int) -> Cell:
    """One load on one server, after a warm-up by the same load."""
    load.run(started.url, workload, WARM_UP_SECONDS)
    if started.answers() is None:  # also waits for what the warm-up left in its queue
        raise ServerFailed(f"it no longer answers after {workload.name}")
    seconds = workload.seconds(task.raw, wanted_seconds)
    ours, busy = machine.own_seconds() + started.cpu_seconds(), machine.busy_seconds()
    begun = time.monotonic()
    with LivezProbe(started.port) if task.server.venv is None else nullcontext() as probe:
        result = load.run(started.url, workload, seconds)
    passed = time.monotonic() - begun
    ours = machine.own_seconds() + started.cpu_seconds() - ours
    busy = machine.busy_seconds() - busy
    return Cell(
        *(task.model, workload, task.server.name, *task.engine, result),
        memory_mb=started.memory_mb(),
        ready_seconds=started.ready_seconds,
        other_cores=max(0.0, (busy - ours) / passed),
        livez_p99_ms=probe.p99_ms if probe else None,
    )


def _require_same_answer(task: Task, started: Running) -> None:
    checked = _start("benchmarks.comparison.same_answer", str(task.file), task.engine[1], started.url)
    if checked.returncode:
        raise ServerFailed(f"its answers differ: {checked.stderr.strip()}")


def _child_json(type: type[T], module: str, *arguments: str) -> T:
    return msgspec.json.decode(_child(module, *arguments).splitlines()[-1], type=type)


def _child(module: str, *arguments: str) -> str:
    """What a module of ours printed. It runs in a process of its own, so that this one stays small and idle."""
    done = _start(module, *arguments)
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}:\n{done.stderr.strip()}")
    return done.stdout


def _start(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GANSERVE_")}
    environ["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
