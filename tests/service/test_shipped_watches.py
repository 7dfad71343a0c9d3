"""The watch that is shipped beside a model sees that model as sound, and what can go wrong with it as worse."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from service.generator.contract import Contract, parse
from service.generator.engine import Forward
from service.generator.engines.ort import OrtEngine
from service.generator.file.rewired import rewired
from service.generator.quality.reference import read
from service.generator.quality.statistics import DISTANCE, figures

FILES = sorted((Path(__file__).parents[2] / "models").glob("*/generator.watch"))
FIRST_SEED = 2**48  # as the service's watch

Draw = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.uint8]]


def engine(file: bytes) -> tuple[Contract, Forward]:
    contract = parse(file)
    return contract, OrtEngine(
        rewired(file, contract), contract, cuda=False, precision="fp32", threads=1
    ).wide


def worse(path: Path, draw: Draw) -> set[str]:
    """The figures of a window's images that are beyond their limit."""
    contract = parse(path.with_suffix(".onnx").read_bytes())
    judge, reference = read(path.read_bytes(), contract)
    seeds = range(FIRST_SEED, FIRST_SEED + reference.images)
    label = np.array(seeds) % contract.class_count
    images = np.concatenate(
        [draw(contract.rows(seeds[i : i + 50]), label[i : i + 50]) for i in range(0, len(seeds), 50)]
    )
    found = figures(reference.real, reference.unit, judge(images, label))
    limits = {name: figure.limit for name, figure in reference.figures.items()}
    return {n for n, v in found.items() if (v > limits[n] if n == DISTANCE else v < limits[n])}


def perturbed(file: bytes, part: float) -> bytes:
    """Every weight is off by that part of itself, at random."""
    model, noise = onnx.load_model_from_string(file), np.random.default_rng(0)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.size > 64:
            off = weights * (1 + part * noise.normal(size=weights.shape).astype(np.float32))
            tensor.CopyFrom(numpy_helper.from_array(off.astype(np.float32), tensor.name))
    return model.SerializeToString()


def test_one_is_shipped():
    assert "fashion-mnist" in {path.parent.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_the_shipped_model_is_within_its_limits_and_what_is_broken_is_not(path):
    file = path.with_suffix(".onnx").read_bytes()
    contract, forward = engine(file)
    assert worse(path, forward) == set()
    _, off = engine(perturbed(file, 0.3))
    assert DISTANCE in worse(path, off)
    swap = np.arange(contract.class_count)
    swap[[3, 4]] = 4, 3
    assert "least_class_accuracy" in worse(path, lambda z, label: forward(z, swap[label]))
    one = contract.rows(range(1))
    collapsed = worse(path, lambda z, label: forward(np.where(label[:, None] == 3, one, z), label))
    assert "least_class_diversity" in collapsed
