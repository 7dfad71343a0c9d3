"""python -m benchmarks.watch: how soon the quality watch sees a model that draws worse, and what of a lane it takes.

Each case is the shipped model with one thing wrong, and without golden samples, which would keep it from being loaded.
"""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import numpy as np
import onnx
from onnx import helper as h
from onnx import numpy_helper
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import models
from benchmarks.server import machine, running
from benchmarks.server.servers import ONE_WORKER, ONNXRUNTIME, ROOT, environment
from service.generator import contract
from service.generator.quality.reference import watch_of


def perturbed(model: onnx.ModelProto, part: float) -> None:
    """Every weight is off by that part of itself, as one standard deviation."""
    noise = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.size > 100:
            changed = weights * (1 + part * noise.normal(size=weights.shape))
            tensor.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), tensor.name))


def permuted(model: onnx.ModelProto) -> None:
    """Sneaker and ankle boot are in each other's place."""
    order = np.arange(10)
    order[[7, 9]] = order[[9, 7]]
    _before(model, "label", order, ("Gather", "table", "label"))


def collapsed(model: onnx.ModelProto) -> None:
    """All images of class 3, dress, are one."""
    kept = np.ones((10, 1), np.float32)
    kept[3] = 0
    _before(model, "z", kept, ("Gather", "table", "label"), ("Mul", "z", "table_gather"))


CASES: dict[str, Callable[[onnx.ModelProto], None]] = {
    "as it is": lambda model: None,
    "weights off by 20 %": partial(perturbed, part=0.2),
    "weights off by 30 %": partial(perturbed, part=0.3),
    "two classes exchanged": permuted,
    "one class collapsed": collapsed,
}


def _before(model: onnx.ModelProto, name: str, table: Any, *nodes: tuple[str, ...]) -> None:
    """What read the input `name` reads what the last of `nodes` makes of it."""
    for node in model.graph.node:
        for i, read in enumerate(node.input):
            if read == name:
                node.input[i] = f"{name}_instead"
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    for i, (operator, *inputs) in enumerate(nodes):
        made = f"{name}_instead" if i == len(nodes) - 1 else f"table_{operator.lower()}"
        model.graph.node.insert(i, h.make_node(operator, inputs, [made]))


def measure(folder: Path, share: float, seconds: float) -> tuple[str, float, float]:
    """What the watch saw, and when; of all the seconds, the part of a lane that it counts for itself, and that of a core which the
    whole service took.
    """
    with running.scratch() as home:
        port = running.free_port()
        environ = environment(ONE_WORKER, folder / "model/generator.onnx", ONNXRUNTIME, 0, 0, port, home)
        environ["GANSERVE_WATCH_SHARE"] = f"{share}"
        with running.running(ONE_WORKER.start(port), environ, port, home) as started:
            begun, used = time.monotonic(), started.cpu_seconds()
            before = _counted(started.url)
            said, passed = "nothing told", 0.0
            while passed < seconds:
                time.sleep(0.5)
                passed = time.monotonic() - begun
                if said == "nothing told" and (worse := _worse(started.url)) is not None:
                    said = f"{worse or 'nothing worse'} after {passed:.0f} s"
            counted, took = _counted(started.url) - before, started.cpu_seconds() - used
            return said, counted / passed, took / passed


def _worse(url: str) -> str | None:
    """Which figures are beyond their limit, as the alert reads them; None as long as none are told."""
    limits, distances, ratios = (_told(url, kind) for kind in ("limit", "distance", "ratio"))
    if not distances:
        return None
    worse = [one for one, value in distances.items() if value > limits[one]]
    worse += [one for one, value in ratios.items() if value < limits[one]]
    return ", ".join(f"{one} {(distances | ratios)[one]:.3f} (limit {limits[one]:.3f})" for one in worse)


def _counted(url: str) -> float:
    return sum(_told(url, "seconds_total").values())


def _told(url: str, kind: str) -> dict[str, float]:
    """ganserve_quality_KIND by figure, of those that are told."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = (one for family in families for one in family.samples)
    return {
        one.labels.get("figure", ""): one.value for one in samples if one.name == f"ganserve_quality_{kind}"
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--share", type=click.FloatRange(0.001, 0.5), default=0.02, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=90.0, show_default=True, help="Of each case.")
def main(share: float, seconds: float) -> None:
    """How soon the watch sees a model that draws worse, and what it takes. Starts a service for each of six cases."""
    print(
        f"{machine.cpu_name()}, load average {machine.facts()['load_average']}, GANSERVE_WATCH_SHARE={share}"
    )
    shipped = ROOT / "models" / models.SHIPPED / "generator.onnx"
    _, _, idle = _case(shipped, CASES["as it is"], 0, seconds)
    print(f"without a watch, idle: {100 * idle:.2f} % of a core")
    for name, spoil in CASES.items():
        said, counted, took = _case(shipped, spoil, share, seconds)
        print(
            f"{name}: {said}; {100 * counted:.2f} % of a lane by its own count, {100 * (took - idle):.2f} % of a core"
        )


def _case(
    shipped: Path, spoil: Callable[[onnx.ModelProto], None], share: float, seconds: float
) -> tuple[str, float, float]:
    model = onnx.load_model(shipped)
    document = msgspec.structs.replace(contract.parse(shipped.read_bytes()), golden=[])
    spoil(model)
    with running.scratch() as folder:
        (folder / "model").mkdir()
        (folder / "model/generator.onnx").write_bytes(contract.write(model, document))
        shutil.copy(watch_of(shipped), folder / "model")
        return measure(folder, share, seconds)


if __name__ == "__main__":
    main()
