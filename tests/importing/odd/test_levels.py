"""Black and white of what a graph gives: found where it fills a range, asked for elsewhere; and pictures that nobody would see."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T

from tests.importing.foreign import Node, save
from tests.importing.odd.test_faults import refused
from tests.importing.odd.test_odd_graphs import generator
from tests.importing.test_pictures import assert_same, levels, original, run, served, z


def ending(
    *nodes: Node, element: int = T.FLOAT, shape: tuple = (3, 16, 16), **tensors: Any
) -> onnx.ModelProto:
    """A generator with more operators behind its Tanh, each of the one before; they end in `end`."""
    names = ["image", *(f"end_{i}" for i in range(len(nodes) - 1)), "end"]
    made = [
        (name, "", (op, [before, *given], attributes))
        for before, name, (op, given, attributes) in zip(names, names[1:], nodes, strict=False)
    ]
    held: dict[str, Any] = {
        name: np.array(value, np.int64 if name == "joined" else np.float32) for name, value in tensors.items()
    }
    return generator(["N", 16], [], made, ("end", element, ["N", *shape]), **held)


def times(most: float, element: int) -> onnx.ModelProto:
    """Whole numbers from 0 to `most`."""
    nodes: list[Node] = [
        ("Add", ["one"], {}),
        ("Mul", ["half"], {}),
        ("Round", [], {}),
        ("Cast", [], {"to": element}),
    ]
    return ending(*nodes, element=element, one=1, half=most / 2)


WHOLE = {
    "bits": (1, T.UINT8),
    "four bits": (15, T.UINT8),
    "five bits in 32": (31, T.INT32),
    "half of 10 bits": (511, T.UINT16),
}


@pytest.mark.parametrize("case", WHOLE)
def test_whole_numbers_that_fill_no_range_are_asked_for_and_drawn_in_what_is_said(tmp_path, case):
    most, element = WHOLE[case]
    one = times(most, element)
    path = save(one, tmp_path / "theirs.onnx")
    assert "what is black, and what is white?" in refused(path)
    done = run(path, "--out", tmp_path / "mine", "--range", f"0..{most}")
    assert done.exit_code == 0, done.output
    assert f"in 0 to {most}" in done.output
    assert_same(served(tmp_path / "mine")[0], levels(original(one, z=z(16)), 0, most))


@pytest.mark.parametrize(("most", "element"), [(1023, T.INT32), (4095, T.UINT16), (255, T.INT64)])
def test_whole_numbers_of_a_camera_have_the_range_that_they_fill(tmp_path, most, element):
    one = times(most, element)
    done = run(save(one, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert_same(served(tmp_path / "mine")[0], levels(original(one, z=z(16)), 0, most))


REAL = {
    "half a Tanh": ending(("Mul", ["by"], {}), by=0.5),
    "2.5 Tanh": ending(("Mul", ["by"], {}), by=2.5),
    "half of 0 to 1": ending(("Abs", [], {}), ("Mul", ["by"], {}), by=0.5),
    "0 to 100": ending(("Abs", [], {}), ("Mul", ["by"], {}), by=100),
    "as a classifier takes it": ending(
        *(("Add", ["one"], {}), ("Mul", ["half"], {}), ("Sub", ["mean"], {}), ("Div", ["spread"], {})),
        one=1, half=0.5, mean=np.array([[[0.485]], [[0.456]], [[0.406]]]), spread=np.array([[[0.229]], [[0.224]], [[0.225]]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REAL)
def test_real_numbers_that_end_nowhere_near_a_range_are_asked_for(tmp_path, case):
    path = save(REAL[case], tmp_path / "theirs.onnx")
    assert "what is black, and what is white?" in refused(path)
    assert run(path, "--check", "--range", "0..100" if case == "0 to 100" else "-2.5..2.7").exit_code == 0


@pytest.mark.parametrize(
    ("end", "words", "says"),
    [
        ((("Sub", ["far"], {}), ("Sigmoid", [], {})), [], "Every pixel has a level of 0 to 0"),
        ((("Clip", ["none", "most"], {}),), [], "Every pixel has a level of 0 to 1"),
        ((("Tanh", [], {}),), ["--range", "0..255"], "Every pixel has a level of 0 to 1"),
        ((("Tanh", [], {}),), ["--range", "0..1e6"], "Every pixel has a level of 0 to 0"),
        ((("Tanh", [], {}),), ["--range", "0..0.01"], "of the pixels lie beyond black and white"),
    ],
)
def test_pictures_of_hardly_a_level_are_refused(tmp_path, end, words, says):
    one = ending(*end, far=10, none=0, most=255)
    said = refused(save(one, tmp_path / "theirs.onnx"), *words)
    assert says in said
    assert "--range LOW..HIGH" in said
    assert "\n2. " not in said


def test_pictures_of_half_the_levels_or_cut_ones_are_remarked_on(tmp_path):
    path = save(ending(("Identity", [], {})), tmp_path / "theirs.onnx")
    for words, says in ((["-1..3"], "pixels have levels of 0 to 1"), (["-0.95..0.95"], "are cut")):
        done = run(path, "--check", "--range", *words)
        assert done.exit_code == 0, done.output
        assert says in done.output


@pytest.mark.parametrize(
    "text", ["1..0", "0..0", "0", "a..b", "0..1e999", "nan..1", "0..1e-45", "-3e38..3e38", "1e9..1000000001"]
)
def test_a_range_that_is_none_is_usage(tmp_path, text):
    done = run(save(ending(("Tanh", [], {})), tmp_path / "theirs.onnx"), "--check", "--range", text)
    assert done.exit_code == 2
    assert "write LOW..HIGH" in done.output


def test_axes_that_an_image_would_scramble_are_refused(tmp_path):
    path = save(ending(("Tanh", [], {})), tmp_path / "theirs.onnx")
    for image in ("1x24x32", "3x8x32", "1x16x48"):
        assert "would make another picture" in refused(path, "--image", image)
    assert run(path, "--check", "--image", "3x16x16").exit_code == 0
    assert "would make another picture" in refused(path, "--image", "3x16x16", "--layout", "nhwc")
    rows = ending(("Reshape", ["joined"], {}), shape=(3, 256), joined=[-1, 3, 256])
    assert "RGB 16x16, NCHW" in run(save(rows, path), "--check", "--image", "3x16x16").output
    assert "would make another picture" in refused(path, "--image", "1x24x32")


@pytest.mark.parametrize("name", ["input_image", "photo", "lowres", "x"])
def test_a_network_that_is_given_a_picture_is_asked_about(tmp_path, name):
    one = ending(("Tanh", [], {}), ("Add", ["moved"], {}), moved=0.1)
    del one.graph.node[:-3]
    one.graph.node[0].input[0] = one.graph.input[0].name = name
    one.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(name, T.FLOAT, ["N", 3, 16, 16]))
    one.graph.node[0].op_type = "Tanh"
    path = save(one, tmp_path / "theirs.onnx")
    said = refused(path, "--range", "-1..1")
    assert f"Input '{name}', float32 [?, 3, 16, 16] may be a picture that the network is given" in said
    assert run(path, "--check", "--range", "-1..1", "--z", name).exit_code == 0
