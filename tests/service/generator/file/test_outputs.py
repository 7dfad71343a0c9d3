"""Generators that give more than a picture: declared, checked at load, and run by every engine."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper as h

from service.errors import ContractError
from service.generator import contract, loading
from service.generator.contract import SCHEMA, parse
from service.generator.engines import race
from service.generator.engines.cuda import BoundPasses
from service.generator.engines.ort import new_session
from service.generator.file.inputs import Input
from service.generator.file.outputs import Output, faults
from service.generator.file.rewired import rewired
from service.settings import Settings
from tests.generators import Tiny
from tests.generators.telling import FULL, PLAIN

IMAGE = Output("image", "image", [1, 8, 8])


def loaded(folder: Path, file: bytes, engine: str = "onnxruntime", **settings) -> loading.Loaded:
    path = folder / "telling" / "generator.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file)
    return loading.load(loading.read(path), Settings(engine=engine, models=folder, **settings))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("model", [PLAIN, FULL], ids=["unconditional", "picture of another name"])
def test_every_engine_gives_pictures_alone_and_beside_the_rest(tmp_path, engine, model):
    got = loaded(tmp_path, model.file(), engine, threads=2)
    assert got.everything is not None
    assert got.everything.is_golden
    assert got.golden is not None
    z = got.contract.rows(range(5))
    label = None if got.contract.classes is None else np.arange(5)
    images, want = got.engine.wide(z, label), model.beside(z, label)
    for forward in (got.everything.engine.wide, *got.everything.engine.lanes):
        rows = forward(z, label)
        found = got.everything.apart(rows)
        np.testing.assert_array_equal(found["image"], images)
        assert found["image"].dtype == np.uint8
        np.testing.assert_allclose(found["style"], want["style"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found["logits"], want["logits"], rtol=1e-4, atol=1e-3)


def test_a_file_with_inputs_by_role_and_one_batch_gives_them_too(tmp_path):
    """The declaration of outputs does not depend on that of inputs."""
    model = onnx.load_model_from_string(FULL.file())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    named = {"z": "latent", "label": "kind"}
    for node in model.graph.node:
        node.input[:] = [named.get(name, name) for name in node.input]
    for value in model.graph.input:
        value.name = named[value.name]
    said = msgspec.structs.replace(
        FULL.contract(), batch=3, inputs=[Input("latent", "z", [8]), Input("kind", "label")]
    )
    got = loaded(tmp_path, contract.write(model, said), threads=1)
    assert got.everything is not None
    z, label = got.contract.rows(range(4)), np.arange(4)
    found = got.everything.apart(got.everything.engine.wide(z, label))
    np.testing.assert_allclose(found["logits"], FULL.beside(z, label)["logits"], rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(found["image"], FULL.tiny.forward(z, label))


def test_who_wants_pictures_computes_nothing_else():
    file = FULL.file()
    plain = onnx.load_model_from_string(rewired(file, parse(file)))
    assert [one.name for one in plain.graph.output] == ["image"]
    assert len(plain.graph.node) == len(Tiny().model().graph.node) + 1
    assert "head" not in {name for node in plain.graph.node for name in node.input}


def test_passes_bound_to_a_device_give_rows_of_numbers():
    file = FULL.file()
    said = parse(file)
    session = new_session(rewired(file, said, everything=True), ["CPUExecutionProvider"], 1)
    rows = BoundPasses(session, said, (1, 4), device="cpu")(said.rows(range(3)), np.arange(3))
    assert (rows.shape, rows.dtype) == ((3, 64 + 64 + 10), np.float32)


def test_the_race_of_engines_measures_pictures():
    assert {one.engine for one in race.measure(FULL.file()).figures} == {"onnxruntime", "openvino"}


def test_the_fake_engine_makes_them_up(tmp_path):
    got = loaded(tmp_path, FULL.file(), "fake")
    assert got.everything is not None
    assert not got.everything.is_golden
    z = got.contract.rows(range(2))
    found = got.everything.apart(got.everything.engine.wide(z, np.arange(2)))
    np.testing.assert_array_equal(found["image"], got.engine.wide(z, np.arange(2)))
    np.testing.assert_array_equal(found["style"].reshape(2, -1)[:, :8], z)


def test_a_plain_file_has_the_picture_and_nothing_beside_it(tmp_path):
    said = parse(Tiny().file())
    assert (said.given, said.beside) == ([IMAGE], [])
    assert loaded(tmp_path, Tiny().file()).everything is None


def _other_head(model: onnx.ModelProto) -> None:
    (head,) = (one for one in model.graph.initializer if one.name == "head")
    head.CopyFrom(onnx.numpy_helper.from_array(FULL._head() * 1.5, "head"))


def _batch_norm(model: onnx.ModelProto) -> None:
    (node,) = (one for one in model.graph.node if "logits" in one.output)
    node.output[0] = "raw"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "over_the_batch"))
    model.graph.node.append(h.make_node("ReduceMean", ["raw", "over_the_batch"], ["mean"]))
    model.graph.node.append(h.make_node("Sub", ["raw", "mean"], ["logits"]))


def _infinite(model: onnx.ModelProto) -> None:
    (node,) = (one for one in model.graph.node if "logits" in one.output)
    node.output[0] = "raw"
    model.graph.node.append(h.make_node("Exp", ["raw"], ["very"]))
    model.graph.node.append(h.make_node("Exp", ["very"], ["logits"]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_other_head, "the output logits is another than the golden sample's"),
        (_batch_norm, "the output logits depends on the others of its batch"),
        (_infinite, "the output logits has NaN or infinity"),
    ],
)
def test_what_comes_beside_the_picture_is_judged_at_load(tmp_path, change, why):
    with pytest.raises(ContractError, match=why):
        loaded(tmp_path, FULL.file(change))


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([], "one output is an image"),
        ([Output("w", "z", [8])], "one output is an image"),
        ([Output("image", "image", [3, 8, 8])], r"of the shape \[1, 8, 8\]"),
        ([IMAGE, Output("second", "image", [1, 8, 8])], "one output is an image"),
        ([IMAGE, IMAGE], "each once"),
        ([IMAGE, Output("z", "z", [8])], "none is an input's"),
        ([IMAGE, Output("a b", "z", [8])], "letters, digits"),
        ([Output("picture", "image", [1, 8, 8]), Output("image", "z", [8])], "only the picture"),
        ([IMAGE, Output("w", "z", [2**19, 3])], "up to 1048576 numbers"),
    ],
)
def test_a_declaration_says_what_is_wrong_with_it(outputs, why):
    with pytest.raises(AssertionError, match=why):
        assert not faults(outputs, [1, 8, 8], ["z", "label"])


def test_the_graph_must_give_what_is_declared_and_schema_1_declares_nothing():
    said = FULL.contract()
    model = onnx.load_model_from_string(FULL.file())
    wrong = [*said.given[:2], Output("logits", "logits", [9])]
    with pytest.raises(ContractError, match="outputs are"):
        contract.write(model, msgspec.structs.replace(said, outputs=wrong, golden=[]))
    with pytest.raises(ContractError, match="of schema 2"):
        contract.write(model, msgspec.structs.replace(said, schema=SCHEMA))
    for beside in ({"style": [1.0] * 65}, {"style": []}, {"picture": [1.0]}):
        golden = [msgspec.structs.replace(one, beside=beside) for one in said.golden]
        with pytest.raises(ContractError, match=r"golden sample of seed 0: '\w+' is no output"):
            contract.write(model, msgspec.structs.replace(said, golden=golden))
