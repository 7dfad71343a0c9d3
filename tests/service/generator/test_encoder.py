"""Encoder files of strangers: what is read of them, and what is refused."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper as h
from onnx import numpy_helper

from service.errors import ContractError
from service.generator import encoder
from service.generator.contract import version
from tests.generators import Tiny, encoders
from tests.generators.encoders import TinyEncoder

TINY = Tiny()
OF_TINY = TinyEncoder(TINY.contract(), version(TINY.file()))


def node(operator: str, inputs: list[str], **attributes: Any):
    """A change: one more node."""
    return lambda model: model.graph.node.append(h.make_node(operator, inputs, ["extra"], **attributes))


def weight(change):
    """A change of the weights of z."""

    def changed(model: onnx.ModelProto) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == "to_z")
        change(tensor)

    return changed


def nan(tensor: onnx.TensorProto) -> None:
    values = np.array(numpy_helper.to_array(tensor))
    values[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def elsewhere(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def renamed(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "code"


GRAPHS = {
    "noise": (node("RandomNormalLike", ["levels"]), "draws random numbers"),
    "dropout": (node("Dropout", ["levels", "", "yes"]), "dropout is left on"),
    "a custom operator": (
        node("Steal", ["levels"], domain="com.example"),
        "custom operators are refused: com.example",
    ),
    "NaN": (weight(nan), "hold NaN"),
    "weights elsewhere": (weight(elsewhere), "external data is refused"),
    "another output": (renamed, "outputs are"),
    "no graph": (lambda model: model.ClearField("graph"), "holds no graph"),
    "no metadata": (lambda model: model.ClearField("metadata_props"), "no metadata"),
}
DOCUMENTS = {
    "a later schema": ({"schema": 2}, "schema 2"),
    "a version that is none": ({"generator": "../../etc"}, "generator"),
    "another z": ({"z_dim": 9}, "outputs are"),
    "no number of z": ({"z_dim": 0}, "z_dim"),
    "neither z nor names": ({"z_dim": None}, "names 0 of 10 classes"),
    "names beside z": ({"class_names": list("abcdefghij")}, "its classes are the generator's"),
    "a huge z": ({"z_dim": 2**40}, "z_dim"),
    "other classes": ({"classes": 3}, "outputs are"),
    "no classes": ({"classes": None}, "outputs are"),
    "another image": ({"image": {"channels": 3, "height": 8, "width": 8}}, "inputs are"),
    "a short golden z": ({"golden": [{"seed": 0, "z": [1.0], "label": 0}]}, "golden z of seed 0"),
    "thousands of golden z": ({"golden": [{"seed": 0, "z": [0.0] * 8, "label": 0}] * 1000}, "golden"),
}


def test_a_file_that_was_written_is_read_as_it_was_meant_and_computes_it():
    draw = TINY.forward
    file = OF_TINY.file(draw)
    document = encoder.parse(file)
    assert document == OF_TINY.document(draw)
    images = draw(TINY.contract().rows(range(3)), np.arange(3))
    z, logits = OF_TINY.forward(images)
    got = ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(
        list(document.outputs), {"image": images}
    )
    assert logits is not None
    np.testing.assert_allclose(np.asarray(got[0]), z, atol=1e-5)
    np.testing.assert_allclose(np.asarray(got[1]), logits, atol=1e-5)


def test_an_unconditional_generators_encoder_has_z_alone():
    tiny = Tiny(classes=None)
    document = encoder.parse(TinyEncoder(tiny.contract(), "0" * 12).file(tiny.forward))
    assert (document.classes, document.outputs) == (None, {"z": 8})


@pytest.mark.parametrize("classes", [None, TINY.classes])
def test_a_classifier_has_logits_alone_and_names_its_classes_whatever_its_generator_has(classes):
    tiny = Tiny(classes=classes)
    made = TinyEncoder(tiny.contract(), version(tiny.file()), names=("Cat", "Dog"))
    document = encoder.parse(made.file(tiny.forward))
    assert (document.z_dim, document.outputs, document.class_names) == (None, {"logits": 2}, ["Cat", "Dog"])
    encoder.require_of(document, tiny.contract(), made.version)
    with pytest.raises(ContractError, match="golden logits of seed 0: not 2 finite"):
        encoder.parse(encoders.with_document(made, golden=[{"seed": 0, "logits": [1.0]}]))
    with pytest.raises(ContractError, match=r"names: .*one name"):
        encoder.parse(encoders.with_document(made, class_names=["Cat", "cat"]))


@pytest.mark.parametrize("label", [None, 10])
def test_a_golden_sample_is_of_a_class_of_the_generator(label):
    golden = [{"seed": 0, "z": [0.0] * 8} | ({} if label is None else {"label": label})]
    document = encoder.parse(encoders.with_document(OF_TINY, golden=golden))
    with pytest.raises(ContractError, match=f"label {label} is not a class"):
        encoder.require_of(document, TINY.contract(), OF_TINY.version)


@pytest.mark.parametrize("fault", GRAPHS)
def test_a_graph_that_is_no_encoders_is_refused(fault):
    change, said = GRAPHS[fault]
    with pytest.raises(ContractError, match=said):
        encoder.parse(encoders.with_graph(OF_TINY, change))


@pytest.mark.parametrize("fault", DOCUMENTS)
def test_a_document_that_is_not_of_its_graph_is_refused(fault):
    changes, said = DOCUMENTS[fault]
    with pytest.raises(ContractError, match=said):
        encoder.parse(encoders.with_document(OF_TINY, **changes))


@pytest.mark.parametrize("file", [b"", b"\x00" * 100, b"<html>", OF_TINY.file()[:200], OF_TINY.file()[:-50]])
def test_what_is_no_whole_file_is_refused(file):
    with pytest.raises(ContractError):
        encoder.parse(file)


def test_a_generator_is_no_encoder():
    with pytest.raises(ContractError, match="no metadata"):
        encoder.parse(TINY.file())


def test_an_encoder_is_of_one_version_of_one_generator():
    document, contract = OF_TINY.document(), TINY.contract()
    encoder.require_of(document, contract, OF_TINY.version)
    with pytest.raises(ContractError, match=f"it is of generator {OF_TINY.version}"):
        encoder.require_of(document, contract, "0" * 12)
    with pytest.raises(ContractError, match="z_dim, classes and image"):
        encoder.require_of(document, Tiny(z_dim=9).contract(), OF_TINY.version)


def test_writing_a_graph_that_is_no_encoders_is_refused():
    model = OF_TINY.model()
    model.graph.output.pop()
    with pytest.raises(ContractError, match="outputs are"):
        encoder.write(model, OF_TINY.document())
