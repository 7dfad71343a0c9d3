"""Files that are nearly of the contract, each wrong in its own way: refused in one line, with the reason, by every engine."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from service.errors import ContractError
from service.generator import trial
from service.generator.contract import parse
from tests.generators import Tiny, with_graph
from tests.generators.hostile import _PIXELS, _TO_UINT8, CLASSES, file
from tests.service.generator.test_trial import ENGINES
from tests.service.loaded import loaded

NOT_THERE = "[Oo]ut of|[Ii]ndices element"


def _row_missing_for_one_class() -> bytes:
    nodes = [
        h.make_node("Equal", ["label", "two"], ["is_two"]),
        h.make_node("Where", ["is_two", "far", "label"], ["row"]),
    ]
    return file(nodes, label="row", two=np.array(2), far=np.array(1000))


def _nan_for_one_class() -> bytes:
    embedding = np.random.default_rng(0).normal(size=(CLASSES, _PIXELS)).astype(np.float32)
    embedding[2] = np.inf
    nodes = [
        h.make_node("Sub", ["conditioned", "conditioned"], ["nothing"]),
        h.make_node("Add", ["nothing", "projected"], ["broken"]),
    ]
    return file(nodes, hidden="broken", embedding=embedding)


def _negative_at(operator: str, number: int) -> bytes:
    """Another picture where the batch has so many images; with Mod, where it has a multiple of that."""
    is_at = [h.make_node("Equal", ["n", "number"], ["at"])]
    if operator == "Mod":
        is_at = [
            h.make_node("Mod", ["n", "number"], ["left"]),
            h.make_node("Equal", ["left", "first"], ["at"]),
        ]
    nodes = [
        h.make_node("Shape", ["z"], ["z_shape"]),
        h.make_node("Gather", ["z_shape", "first"], ["n"]),
        *is_at,
        h.make_node("Where", ["at", "minus", "plus"], ["sign"]),
        h.make_node("Mul", ["conditioned", "sign"], ["signed"]),
    ]
    minus, plus = np.array(-1, np.float32), np.array(1, np.float32)
    return file(nodes, hidden="signed", first=np.array(0), number=np.array(number), minus=minus, plus=plus)


def _ending(*nodes: onnx.NodeProto) -> bytes:
    return file(ending=[*_TO_UINT8[:5], *nodes])


def _not_clipped() -> bytes:
    ending = [
        h.make_node("Mul", ["pixels", "half"], ["levels"]),
        h.make_node("Reshape", ["levels", "shape"], ["maps"]),
        h.make_node("Cast", ["maps"], ["image"], to=T.UINT8),
    ]
    return file(ending=ending)


def _through_int8() -> bytes:
    wrapped = h.make_node("Cast", ["maps"], ["signed"], to=T.INT8)
    return _ending(wrapped, h.make_node("Cast", ["signed"], ["image"], to=T.UINT8))


def _squeezed() -> bytes:
    whole = h.make_node("Cast", ["maps"], ["whole_maps"], to=T.UINT8)
    return _ending(whole, h.make_node("Squeeze", ["whole_maps"], ["image"]))


def _noise_by(name: str) -> bytes:
    drawn = h.make_node("RandomNormalLike", ["conditioned"], ["noise"], name=name)
    return file([drawn, h.make_node("Add", ["noise", "conditioned"], ["noisy"])], hidden="noisy")


def _noise_in_loop() -> bytes:
    """Drawn by the body of a loop that a function of the file holds."""
    body = h.make_graph(
        [
            h.make_node("RandomNormalLike", ["state"], ["drawn"], name="in the loop"),
            h.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "body",
        [
            h.make_tensor_value_info("turn", T.INT64, []),
            h.make_tensor_value_info("go_on", T.BOOL, []),
            h.make_tensor_value_info("state", T.FLOAT, None),
        ],
        [h.make_tensor_value_info("goes_on", T.BOOL, []), h.make_tensor_value_info("drawn", T.FLOAT, None)],
    )
    loop = h.make_node("Loop", ["times", "", "x"], ["y"], body=body)
    function = h.make_function("", "Jitter", ["x", "times"], ["y"], [loop], [h.make_opsetid("", 18)])
    jitter = h.make_node("Jitter", ["conditioned", "times"], ["noisy"])
    return file([jitter], functions=[function], hidden="noisy", times=np.array(1))


def _changed(change: Callable[[Any], object]) -> Callable[[], bytes]:
    return lambda: with_graph(change)


def _cyclic(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "no row for one class": (_row_missing_for_one_class, NOT_THERE),
    "NaN for one class": (_nan_for_one_class, "NaN or infinity"),
    "another picture in even batches": (lambda: _negative_at("Mod", 2), "of 2, the one at place 1"),
    "another picture in batches of 4": (lambda: _negative_at("Equal", 4), "of 4, the one at place 1"),
    "levels that are not clipped": (_not_clipped, "must be clipped to 0 to 255"),
    "levels that wrap in int8": (_through_int8, "must be clipped to 0 to 255"),
    "another rank at n=1": (_squeezed, "at batch size 1|rank"),
    "float64 where uint8 is declared": (
        lambda: _ending(h.make_node("Cast", ["maps"], ["image"], to=T.DOUBLE)),
        "float64|tensor.double",
    ),
    "as many pixels in another shape": (lambda: file(shape=np.array([-1, 1, 4, 16])), r"\(1, 1, 4, 16\)"),
    "a circle": (_changed(_cyclic), "acyclic|not found in graph"),
    "an input that nothing makes": (
        _changed(lambda model: model.graph.node[1].input.__setitem__(0, "nothing")),
        "nothing",
    ),
    "an operator that nobody knows": (
        _changed(lambda model: setattr(model.graph.node[0], "op_type", "Quux")),
        "Quux",
    ),
    "weights of a negative size": (_changed(lambda model: model.graph.initializer[0].dims.__setitem__(0, -5)), "."),
    "a name that writes into the log": (
        lambda: _noise_by("x\n2026-01-01 [CRITICAL] all is lost \x1b[31m" + "A" * 100_000),
        r"RandomNormalLike 'x 2026-01-01 \[CRITICAL\] all is lost \[31mA",
    ),
    "noise in a loop in a function": (_noise_in_loop, "draws random numbers, by RandomNormalLike 'in the loop'"),
    "free height and width": (
        _changed(lambda model: [one.ClearField("dim_value") for one in model.graph.output[0].type.tensor_type.shape.dim]),
        "outputs are",
    ),
    "a type of numbers that there is not": (
        _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 117)),
        "type 117",
    ),
    "z in float16": (
        _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", T.FLOAT16)),
        "FLOAT16",
    ),
    "two labels": (
        _changed(lambda model: model.graph.input.append(h.make_tensor_value_info("label_2", T.INT64, ["N"]))),
        "label_2",
    ),
    "nothing at all": (lambda: b"", "not an ONNX file"),
    "100 names for 90 rows": (lambda: file(rows=90, classes=100), "100 classes, and Gather looks them up in 90"),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_in_one_line_that_gives_the_reason(tmp_path, caplog, monkeypatch, kind, engine):
    monkeypatch.setattr(
        trial, "SECONDS", 5.0
    )  # what is tried beyond the first sizes must not depend on the machine
    make, reason = REFUSED[kind]
    with loaded(tmp_path, {"strange": make()}, engine=engine, threads=1, max_batch=7) as models:
        model = models["strange"]
        assert model.state == "failed"
        assert re.search(reason, model.problem), model.problem
        assert model.problem.isprintable()
        assert len(model.problem) < 700
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert (record.exc_info, model.problem in record.getMessage()) == (None, True)


@pytest.mark.parametrize("engine", ENGINES)
def test_its_neighbours_are_served(tmp_path, engine):
    files = {"a-strange": _row_missing_for_one_class(), "b-good": Tiny().file(), "c-strange": _squeezed()}
    with loaded(tmp_path, files, engine=engine, threads=1) as models:
        assert [models[name].state for name in files] == ["failed", "ready", "failed"]


def _damaged(good: Sequence[bytes], dice: random.Random) -> bytes:
    damaged = bytearray(dice.choice(good))
    for _ in range(dice.choice((1, 1, 4))):
        place = dice.randrange(len(damaged))
        some = dice.randbytes(dice.randrange(1, 9))
        damaged[place : place + dice.choice((0, len(some)))] = some
    return bytes(damaged)


def test_whatever_is_damaged_in_a_file_it_is_read_or_refused():
    """Names that are no text, types that there are not, sizes past all ends."""
    dice, good = random.Random(0), [Tiny(golden_samples=1).file(), file()]
    refused = 0
    for _ in range(1500):
        try:
            parse(_damaged(good, dice))
        except ContractError:
            refused += 1
    assert 100 < refused < 1500
