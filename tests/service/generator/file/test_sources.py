"""Generators that are given a picture: declared, checked at load, and run by every engine."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from service.errors import ContractError, EngineUnavailable, InvalidField
from service.generator import contract, golden, loading
from service.generator.contract import Contract, ImageShape
from service.generator.engines import race
from service.generator.file.inputs import Input
from service.settings import Settings
from tests.generators.translators import FULL, PLAIN, Inverter, photos


def loaded(
    folder: Path, file: bytes, engine: str = "onnxruntime", threads: int = 1, precision: str = "auto"
) -> loading.Loaded:
    path = folder / "inverter" / "generator.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file)
    settings = Settings(engine=engine, threads=threads, precision=precision, models=folder)
    return loading.load(loading.read(path), settings)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("given", [PLAIN, FULL], ids=["alone", "beside z, a class and a scalar"])
def test_every_engine_translates_the_picture_that_it_is_given(tmp_path, engine, batch, given):
    model = replace(given, batch=batch)
    got = loaded(tmp_path, model.file(), engine, threads=2)
    assert got.golden is not None
    assert got.findings.truncation == bool(model.z_dim)
    assert got.contract.source == ImageShape(*model.shape)
    label = np.arange(7) % 3 if model.classes else None
    pictures = photos(7, model.shape)
    rows = got.contract.with_sources(got.contract.rows(range(7)), pictures)
    for forward in (got.engine.wide, *got.engine.lanes):
        for count in (1, 3, 7):
            part = None if label is None else label[:count]
            want = model.translated(pictures[:count], rows[:count, : model.z_dim], part)
            assert golden.difference(forward(rows[:count], part), want).max <= bool(model.z_dim)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_picture_loses_no_level_in_any_precision(tmp_path, precision):
    """All 256 pass through z's float32, and what a precision makes of it, as they are."""
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    file = Inverter(shape=(1, 16, 16)).file()
    if precision != "fp32" and precision.upper() not in able:
        with pytest.raises(EngineUnavailable, match=precision):
            loaded(tmp_path, file, "openvino", precision=precision)
        return
    got = loaded(tmp_path, file, "openvino", precision=precision)
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    row = got.contract.with_sources(got.contract.rows([0]), every)
    np.testing.assert_array_equal(got.engine.wide(row, None), 255 - every)


def test_the_race_of_engines_measures_such_a_file():
    assert {one.engine for one in race.measure(FULL.file()).figures} == {"onnxruntime", "openvino"}


def test_where_nobody_gives_a_picture_its_levels_are_the_seeds():
    said = FULL.contract()
    rows = said.rows([7, 8])
    pictures = said.sources(rows)
    assert pictures.shape == (2, *FULL.shape)
    np.testing.assert_array_equal(rows[:, 16 : 16 + pictures[0].size], pictures.reshape(2, -1))
    assert (pictures[0] != pictures[1]).mean() > 0.9
    np.testing.assert_array_equal(said.truncated(rows, 0.5)[:, 16:], rows[:, 16:])
    np.testing.assert_array_equal(said.truncated(rows, 0.5)[:, :16], rows[:, :16] / 2)
    large = said.scaled(rows, 10)
    np.testing.assert_array_equal(said.sources(large), (pictures.astype(int) * 10).clip(0, 255))


def test_a_picture_is_laid_into_a_row_and_nothing_else_changes():
    said = FULL.contract()
    rows, pictures = said.rows(range(3)), photos(3, FULL.shape)
    laid = said.with_sources(rows, pictures)
    np.testing.assert_array_equal(said.sources(laid), pictures)
    size = pictures[0].size
    np.testing.assert_array_equal(
        np.delete(laid, np.s_[16 : 16 + size], 1), np.delete(rows, np.s_[16 : 16 + size], 1)
    )


def test_a_generator_that_looks_away_from_its_picture_is_refused(tmp_path):
    model = Inverter(z_dim=16)
    graph = model.model()
    cast = next(node for node in graph.graph.node if list(node.input) == ["photo"])
    graph.graph.node.insert(0, h.make_node("ConstantOfShape", ["photo_shape"], ["levels"]))
    graph.graph.node.insert(0, h.make_node("Shape", ["photo"], ["photo_shape"]))
    graph.graph.node.remove(cast)
    with pytest.raises(ContractError, match="the picture that it is given changes nothing"):
        loaded(tmp_path, contract.write(graph, msgspec.structs.replace(model.contract(), golden=[])))


def test_no_seed_alone_makes_a_picture_of_a_picture():
    with pytest.raises(InvalidField, match="POST /v1/translations"):
        PLAIN.contract().seeded(range(1), 1.0, None)
    Contract(1, "plain", 8, None, ImageShape(1, 8, 8)).require_seeds()


PHOTO = Input("photo", "image", [3, 8, 8])
WRONG = {
    "the first input is z, or an image": [Input("noise", "noise", [192])],
    "z_dim is 192, and z, noise and image have 200": [Input("z", "z", [8]), PHOTO],
    "one input at most is an image": [
        Input("a", "image", [3, 8, 4]),
        Input("b", "image", [3, 8, 4]),
    ],
    "none is called image": [Input("image", "image", [3, 8, 8])],
    "1, 3 or 4 channels": [Input("photo", "image", [192])],
    "has 1, 3 or 4 channels": [Input("photo", "image", [2, 8, 12])],
    "an image has no law": [Input("photo", "image", [3, 8, 8], "uniform")],
}


@pytest.mark.parametrize("says", WRONG)
def test_a_declaration_that_can_not_be_is_refused(says):
    with pytest.raises(ContractError, match=says):
        contract.write(PLAIN.model(), msgspec.structs.replace(PLAIN.contract(), inputs=WRONG[says]))


def test_the_picture_in_the_graph_is_held_to_the_declaration():
    graph = PLAIN.model()
    graph.graph.input[0].type.tensor_type.elem_type = T.FLOAT
    with pytest.raises(ContractError, match="'photo', 'UINT8'"):
        contract.write(graph, PLAIN.contract())
