"""Files that are nearly as they should be: what is wrong with each is said in its own words, at once, and nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator.file.apart import taken_apart
from service.generator.file.session import session_of
from tests.generators import with_graph
from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.odd.test_faults import refused
from tests.importing.test_pictures import assert_same, levels, original, run, served, z

Make = Callable[[], onnx.ModelProto]


def ending(operator: str, element: int, **attributes: Any) -> onnx.ModelProto:
    """A DCGAN with one more operator at its end."""
    one = foreign.dcgan(opset=17)
    one.graph.node.append(h.make_node(operator, ["image"], ["end"], **attributes))
    one.graph.output[0].CopyFrom(h.make_tensor_value_info("end", element, ["N", 3, 16, 16]))
    return one


def holding(one: onnx.ModelProto, **values: object) -> onnx.ModelProto:
    one.graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name) for name, value in values.items()
    )
    return one


def drawing(node: onnx.NodeProto, **values: object) -> onnx.ModelProto:
    """What draws noise, in the place of the graph's own operator."""
    one = foreign.noisy()
    one.graph.node[2].CopyFrom(node)
    return holding(one, **values)


def _in_a_branch() -> onnx.ModelProto:
    drawn, kept = (
        h.make_graph(
            [h.make_node(operator, ["maps"], [name], name=name)],
            name,
            [],
            [h.make_tensor_value_info(name, T.FLOAT, None)],
        )
        for operator, name in (("RandomNormalLike", "hidden_noise"), ("Identity", "kept"))
    )
    return drawing(h.make_node("If", ["on"], ["drawn"], then_branch=drawn, else_branch=kept), on=True)


def _in_a_scan() -> onnx.ModelProto:
    body = h.make_graph(
        [
            h.make_node("RandomUniformLike", ["row"], ["r"], name="hidden_noise"),
            h.make_node("Add", ["row", "r"], ["o"]),
        ],
        "body",
        [h.make_tensor_value_info("row", T.FLOAT, None)],
        [h.make_tensor_value_info("o", T.FLOAT, None)],
    )
    return drawing(h.make_node("Scan", ["maps"], ["drawn"], body=body, num_scan_inputs=1))


def _one_class_is_nan(infinite: bool = False) -> onnx.ModelProto:
    """Of twelve classes the last: its gain is below 0, and the graph takes its logarithm."""
    one = foreign.keras()
    gains = np.ones((12, 1), np.float32)
    gains[11] = 0 if infinite else -1
    one.graph.initializer[0].CopyFrom(numpy_helper.from_array(foreign.weights(12, 16, scale=2), "embedding"))
    for place, node in enumerate(
        (
            h.make_node("Gather", ["gains", "input_2"], ["gain"]),
            h.make_node("Reshape", ["gain", "gain_shape"], ["gain_row"]),
            h.make_node("Log", ["gain_row"], ["log"]),
            h.make_node("Add", ["input_1", "log"], ["shifted"]),
        )
    ):
        one.graph.node.insert(place, node)
    one.graph.node[6].input[0] = "shifted"
    return holding(one, gains=gains, gain_shape=[-1, 1])


def _declared(**dims: object) -> onnx.ModelProto:
    one = foreign.dcgan(opset=17)
    one.graph.input[0].CopyFrom(h.make_tensor_value_info("input", T.FLOAT, dims["dims"]))  # pyright: ignore[reportArgumentType]
    return one


def _reads_no_z() -> onnx.ModelProto:
    one = holding(foreign.dcgan(opset=17), constant=foreign.weights(1, 100, 1, 1))
    one.graph.node[0].input[0] = "constant"
    return one


def _takes_nothing() -> onnx.ModelProto:
    return holding(foreign.dcgan(opset=17), input=foreign.weights(1, 100, 1, 1))


def _sequence_in() -> onnx.ModelProto:
    one = foreign.dcgan(opset=17)
    one.graph.input.append(h.make_tensor_sequence_value_info("words", T.FLOAT, None))
    return one


def _text_in() -> onnx.ModelProto:
    one = foreign.dcgan(opset=17)
    one.graph.input.append(h.make_tensor_value_info("label", T.STRING, ["N"]))
    return one


def _too_large() -> onnx.ModelProto:
    """400 million pixels, which nobody is to try."""
    one = ending("Resize", T.FLOAT)
    one.graph.node[-1].input.extend(["", "", "sides"])
    one.graph.output[0].CopyFrom(h.make_tensor_value_info("end", T.FLOAT, ["N", 3, 20_000, 20_000]))
    return holding(one, sides=[1, 3, 20_000, 20_000])


def _opset(version: int) -> Make:
    return lambda: foreign.dcgan(opset=version)


def _all_black() -> onnx.ModelProto:
    one = foreign.dcgan(opset=17)
    for tensor in one.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 0, tensor.name))
    return one


FAULTS: dict[str, tuple[Make, list[str], str, str]] = {
    "noise in a branch": (_in_a_branch, [], "RandomNormalLike 'hidden_noise'", "Export again without it"),
    "noise in a scan": (_in_a_scan, ["--noise", "z"], "RandomUniformLike 'hidden_noise'", "Export again"),
    "NaN of one class": (_one_class_is_nan, [], "Of 1 of 12 classes the graph gives NaN or infinity: 11", "--classes"),
    "pixels cast to -1, 0, 1": (lambda: ending("Cast", T.INT8, to=T.INT8), [], "int8, has values from -1 to 1", "--range"),
    "text for pixels": (lambda: ending("Cast", T.STRING, to=T.STRING), [], "Output 'end' is a tensor of string", "float32"),
    "a sequence": (_sequence_in, ["--z", "input"], "Input 'words' is a sequence, not a tensor", "float32"),
    "text for labels": (_text_in, ["--classes", "3"], "Input 'label' is a tensor of string", "float32"),
    "a z that nothing reads": (_reads_no_z, [], "which nothing in the graph reads", "--z NAME"),
    "no input": (_takes_nothing, [], "No input is left that could be z", "with z as its input"),
    "unknown rank": (lambda: _declared(dims=None), [], "how many numbers an image has can't be seen", "--z input=100x1x1"),
    "too large to try": (_too_large, [], "3x20000x20000 numbers", "Export a smaller size"),
    "an opset to come": (_opset(99), [], "of opset 99, newer than is read here", "opset_version=18"),
    "one colour": (_all_black, [], "every image is of one colour", "take another checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_is_said_in_its_own_words(tmp_path, case):
    make, words, what, mend = FAULTS[case]
    said = refused(save(make(), tmp_path / "theirs.onnx"), *words)
    assert what in said
    assert mend in said
    assert "\n2. " not in said, "one fault is said once"
    assert "ONNXRuntimeError" not in said


def test_a_name_cannot_write_on_the_terminal(tmp_path):
    one = foreign.conditional_dcgan()
    one.graph.input[1].name = one.graph.node[0].input[1] = "la\nbel\x1b[31m"
    said = refused(save(one, tmp_path / "theirs.onnx"))
    assert "\x1b" not in said
    assert "\\x1b[31m" in said
    assert len(said.splitlines()) == 3


def _no_batch_yet() -> onnx.ModelProto:
    return _declared(dims=[0, 100, 1, 1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_batch_yet, []),
        (lambda: _declared(dims=None), ["--z", "input=100x1x1"]),
        (lambda: holding(foreign.dcgan(opset=17), spare=np.zeros((64, 64), np.float32)), []),
    ],
    ids=["a batch of none", "unknown rank", "weights that nothing reads"],
)
def test_what_can_be_made_up_for_is_imported(tmp_path, make, words):
    one = make()
    result = run(save(one, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine", *words)
    assert result.exit_code == 0, result.output
    plain = foreign.dcgan(opset=17)
    want = levels(original(plain, input=z(100).reshape(-1, 100, 1, 1)))
    assert_same(served(tmp_path / "mine")[0], want)


@pytest.mark.parametrize(("element", "white"), [(T.UINT16, 65535), (T.INT32, 255)])
def test_whole_numbers_of_more_than_eight_bits_keep_their_range(tmp_path, element, white):
    one = foreign.as_uint8()
    for tensor in one.graph.initializer:
        if tensor.name == "half":
            tensor.CopyFrom(numpy_helper.from_array(np.array(white / 2, np.float32), "half"))
    one.graph.node[-1].CopyFrom(h.make_node("Cast", ["pixels"], ["bytes"], to=element))
    one.graph.output[0].CopyFrom(h.make_tensor_value_info("bytes", element, ["N", 16, 16, 3]))
    result = run(save(one, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert f"in 0 to {white}" in result.output
    raw = original(one, input=z(100).reshape(-1, 100, 1, 1)).transpose(0, 3, 1, 2)
    assert_same(served(tmp_path / "mine")[0], levels(raw, 0, white))


def test_a_file_of_the_contract_with_weights_that_nothing_reads_is_run():
    def spare(model: onnx.ModelProto) -> None:
        holding(model, spare=np.zeros((64, 64), np.float32))

    apart = taken_apart(with_graph(spare))
    assert "spare" in apart.weights
    session = session_of(apart.graph, apart.weights, ort.SessionOptions(), ["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == ["image"]


def test_a_check_of_one_class_that_is_infinite_names_it_with_its_name(tmp_path: Path):
    path = save(_one_class_is_nan(infinite=True), tmp_path / "theirs.onnx")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"sort {i}" for i in range(12)), "utf-8")
    result = run(path, "--check", "--classes", names)
    assert result.exit_code == 1
    assert "11 ('sort 11')" in result.output
    assert run(path, "--check", "--classes", "11").exit_code == 0
