"""Graphs that keep ONNX's letter and not its habits: each is served, or refused in one line that names the way on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from tests.importing import foreign
from tests.importing.foreign import model, save, upsampling, upsampling_weights, weights
from tests.importing.odd.test_faults import refused
from tests.importing.test_pictures import SEEDS, assert_same, levels, original, run, served, z


def generator(
    z_axes: list, before: list, end: list, output: tuple, z_type: int = T.FLOAT, **more: Any
) -> onnx.ModelProto:
    """Of 16 numbers, in the tensor `row`, to RGB of 16x16 in `image`. before, end: nodes. more: further inputs and tensors."""
    inputs = {"z": (z_type, z_axes)} | {k: v for k, v in more.items() if isinstance(v, tuple)}
    tensors = {k: v for k, v in more.items() if isinstance(v, np.ndarray)}
    nodes = [
        *(before or [("row", "", ("Identity", ["z"], {}))]),
        ("flat", "", ("MatMul", ["row", "w0"], {})),
        ("maps", "", ("Reshape", ["flat", "shape"], {})),
        *upsampling("maps", 3),
        *end,
    ]
    own = {"w0": weights(16, 128), "shape": np.array([-1, 8, 4, 4]), **upsampling_weights(3)}
    return model(inputs, nodes, output, own | tensors)


def plain(**more: Any) -> onnx.ModelProto:
    return generator(["N", 16], [], [], ("image", T.FLOAT, ["N", 3, 16, 16]), **more)


def brain_floats() -> onnx.ModelProto:
    """bfloat16 throughout: input, weights, output."""
    one = generator(["N", 16], [], [], ("image", T.BFLOAT16, ["N", 3, 16, 16]), z_type=T.BFLOAT16)
    for tensor in one.graph.initializer:
        if tensor.data_type == T.FLOAT:
            halves = (numpy_helper.to_array(tensor).view(np.uint32) >> 16).astype(np.uint16)
            tensor.CopyFrom(h.make_tensor(tensor.name, T.BFLOAT16, halves.shape, halves.tobytes(), raw=True))
    return one


def _rounded(one: onnx.ModelProto) -> onnx.ModelProto:
    """The same in float32, of the weights that bfloat16 has."""
    for value in (*one.graph.input, *one.graph.output):
        value.type.tensor_type.elem_type = T.FLOAT
    for tensor in one.graph.initializer:
        if tensor.data_type == T.BFLOAT16:
            name, wide = tensor.name, numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, name))
    return one


def test_bfloat16_is_computed_in_float32(tmp_path):
    result = run(save(brain_floats(), tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert "what was bfloat16 is computed in float32" in result.output
    want = levels(original(_rounded(brain_floats()), z=z(16)))
    assert_same(served(tmp_path / "mine")[0], want)


def test_names_of_nodes_may_be_the_same(tmp_path):
    one = plain()
    for node in one.graph.node:
        node.name = "layer"
    result = run(save(one, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert_same(served(tmp_path / "mine")[0], levels(original(plain(), z=z(16))))


def test_quantised_pixels_of_int8_have_their_own_range(tmp_path):
    end = [("pixels", "", ("QuantizeLinear", ["image", "step", "none"], {}))]
    one = generator(
        *(["N", 16], [], end, ("pixels", T.INT8, ["N", 3, 16, 16])),
        step=np.array(1 / 127, np.float32),
        none=np.array(0, np.int8),
    )
    result = run(save(one, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert "in -128 to 127" in result.output
    want = original(one, z=z(16)).astype(np.int16) + 128
    assert_same(served(tmp_path / "mine")[0], want.astype(np.uint8))


def _twice(change: Callable[[onnx.GraphProto], object]) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        one = plain()
        change(one.graph)
        return one

    return make


def _without_a_batch() -> onnx.ModelProto:
    end = [("picture", "", ("Reshape", ["image", "as_one"], {}))]
    return generator([1, 16], [], end, ("picture", T.FLOAT, [3, 16, 16]), as_one=np.array([3, 16, 16]))


def _batch_behind() -> onnx.ModelProto:
    end = [("picture", "", ("Transpose", ["image"], {"perm": [1, 2, 3, 0]}))]
    return generator(["N", 16], [], end, ("picture", T.FLOAT, [3, 16, 16, "N"]))


def _z_stands() -> onnx.ModelProto:
    before = [("row", "", ("Transpose", ["z"], {"perm": [1, 0]}))]
    return generator([16, "N"], before, [], ("image", T.FLOAT, ["N", 3, 16, 16]))


def _z_has_no_batch() -> onnx.ModelProto:
    before = [("row", "", ("Reshape", ["z", "as_row"], {}))]
    return generator([16], before, [], ("image", T.FLOAT, [1, 3, 16, 16]), as_row=np.array([1, 16]))


def _z_is_whole() -> onnx.ModelProto:
    before = [("row", "", ("Cast", ["z"], {"to": T.FLOAT}))]
    return generator(["N", 16], before, [], ("image", T.FLOAT, ["N", 3, 16, 16]), z_type=T.INT64)


def _video() -> onnx.ModelProto:
    end = [("frames", "", ("Reshape", ["image", "as_frames"], {}))]
    axes = np.array([-1, 1, 3, 16, 16])
    return generator(["N", 16], [], end, ("frames", T.FLOAT, ["N", 1, 3, 16, 16]), as_frames=axes)


def _discriminator() -> onnx.ModelProto:
    nodes = [
        ("flat", "", ("Flatten", ["image"], {})),
        ("logit", "", ("MatMul", ["flat", "w"], {})),
        ("validity", "", ("Sigmoid", ["logit"], {})),
    ]
    inputs = {"image": (T.FLOAT, ["N", 3, 16, 16])}
    return model(inputs, nodes, ("validity", T.FLOAT, ["N", 1]), {"w": weights(768, 1)})


def _draws_in_a_branch() -> onnx.ModelProto:
    one = plain(on=np.array(True))
    drawn = [
        h.make_node("RandomNormalLike", ["maps"], ["d"], name="inner"),
        h.make_node("Add", ["maps", "d"], ["t"]),
    ]
    then = h.make_graph(drawn, "then", [], [h.make_tensor_value_info("t", T.FLOAT, None)])
    same = [h.make_node("Identity", ["maps"], ["e"])]
    other = h.make_graph(same, "else", [], [h.make_tensor_value_info("e", T.FLOAT, None)])
    one.graph.node.insert(3, h.make_node("If", ["on"], ["either"], then_branch=then, else_branch=other))
    one.graph.node[4].input[0] = "either"
    return one


def _maybe() -> onnx.ModelProto:
    one = plain()
    kind = h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, ["N", 16]))
    one.graph.input.append(h.make_value_info("maybe", kind))
    return one


ODD = {
    "one name of two tensors": (_twice(lambda g: g.node.append(h.make_node("Tanh", ["up2"], ["image"]))), "have one name", "image"),
    "one name of two weights": (_twice(lambda g: g.initializer.append(g.initializer[0])), "have one name", "w0"),
    "one name of two inputs": (_twice(lambda g: g.input.append(g.input[0])), "have one name", "Export it again"),
    "an image without a batch": (_without_a_batch, "1 image comes as [3, 16, 16]", "images of [N, C, H, W]"),
    "a batch behind the image": (_batch_behind, "3 images come as [3, 16, 16, 3]", "images of [N, C, H, W]"),
    "a z that stands": (_z_stands, "the batch, is not the first", "z of [N, 16]"),
    "a z without a batch": (_z_has_no_batch, "it has no batch axis", "z of [N, z_dim]"),
    "a z of whole numbers": (_z_is_whole, "No input could be z", "in real numbers"),
    "one frame of a video": (_video, "1x3x16x16 numbers, which is none", "--image 3x16x16"),
    "a discriminator": (_discriminator, "An image comes as 1 number", "the generator's own file"),
    "noise in a branch": (_draws_in_a_branch, "RandomNormalLike 'inner'", "does not reach into branches"),
    "an optional": (_maybe, "'maybe' is an optional", "a tensor of numbers"),
    "no graph": (lambda: h.make_model(h.make_graph([], "g", [], [])), "whose graph gives nothing", "that draws images"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_can_not_be_taken_is_named_with_what_to_do(tmp_path, case):
    make, what, mend = ODD[case]
    said = refused(save(make(), tmp_path / "theirs.onnx"))
    assert what in said
    assert mend in said
    assert "\n2. " not in said, "one fault is said once"


def test_one_frame_is_taken_as_it_was_proposed(tmp_path):
    result = run(save(_video(), tmp_path / "theirs.onnx"), "--out", tmp_path / "mine", "--image", "3x16x16")
    assert result.exit_code == 0, result.output
    assert len(served(tmp_path / "mine")[0]) == len(SEEDS)


def _ignores(what: str) -> onnx.ModelProto:
    """what: the input that is multiplied by 0; the others count."""
    nothing = {"z": "z", "label": "looked_up", "psi": "psi"}[what]
    before = [
        ("looked_up", "", ("Gather", ["table", "label"], {})),
        ("none", "", ("Mul", [nothing, "zero"], {})),
    ]
    used = {"z": "z", "label": "looked_up", "psi": "psi"} | {what: "none"}
    before += [
        ("both", "", ("Add", [used["z"], used["label"]], {})),
        ("row", "", ("Add", ["both", used["psi"]], {})),
    ]
    return generator(
        *(["N", 16], before, [], ("image", T.FLOAT, ["N", 3, 16, 16])),
        label=(T.INT64, ["N"]),
        psi=(T.FLOAT, ["N", 1]),
        table=weights(5, 16, scale=2),
        zero=np.zeros((), np.float32),
    )


IGNORED = {
    "z": ("z, input 'z', float32 [?, 16], changes nothing: the images of 8 seeds are one", "--z NAME of another input"),
    "label": ("The class, input 'label', int64 [?], changes nothing: 8 seeds give the same images of 4 classes", "--constant label=0"),
    "psi": ("Input 'psi', float32 [?, 1] changes nothing, from 0 to 1", "--constant psi=0.5"),
}  # fmt: skip


@pytest.mark.parametrize("what", IGNORED)
def test_an_input_that_changes_nothing_is_named_with_what_was_seen(tmp_path, what):
    seen, mend = IGNORED[what]
    said = refused(save(_ignores(what), tmp_path / "theirs.onnx"), "--scalar", "psi=0..1:0.5")
    assert seen in said
    assert mend in said
    assert "\n2. " not in said, "the others change something"


def test_a_check_says_that_truncation_changes_nothing_and_what_to_do(tmp_path):
    result = run(save(foreign.stylegan(), tmp_path / "theirs.onnx"), "--check")
    assert result.exit_code == 0, result.output
    assert (
        "truncation changes nothing: seeds with z scaled by 0.1 and by 0.5 were drawn as with all of it"
        in result.output
    )
    assert "--scalar psi=0..1:1" in result.output
