"""Graphs with several outputs: which is the picture, and what of the rest is kept beside it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import loading
from service.generator.engines import everything
from service.generator.engines.ort import OrtEngine
from service.generator.file.rewired import rewired
from service.generator.latents import latents
from tests.importing import foreign
from tests.importing.foreign import save, weights
from tests.importing.test_pictures import SEEDS, original, run, served

SIDES = (16, 16)


def telling(
    *outputs: tuple[str, str, list], tensors: dict | None = None, batch: int | str = "N", nodes=()
) -> onnx.ModelProto:
    """A DCGAN whose outputs are these: name, the tensor that it is, and its axes."""
    model = foreign.dcgan(batch, opset=17)
    graph = model.graph
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in (tensors or {}).items())
    graph.node.extend(h.make_node(op, given, [made], **attributes) for op, given, made, attributes in nodes)
    del graph.output[:]
    for name, tensor, axes in outputs:
        if name != tensor:
            graph.node.append(h.make_node("Identity", [tensor], [name]))
        graph.output.append(h.make_tensor_value_info(name, T.FLOAT, [batch, *axes]))
    return model


HEAD = {"head": weights(768, 5)}
JUDGED = [("Flatten", ["image"], "flat", {}), ("MatMul", ["flat", "head"], "judged", {})]


@pytest.mark.parametrize("batch", ["N", 1], ids=["free batch", "fixed batch"])
def test_what_is_named_is_kept_beside_the_picture(tmp_path, batch):
    model = telling(
        ("w+", "first_", [8, 4, 4]),
        ("class.scores", "judged", [5]),
        ("rgb", "image", [3, *SIDES]),
        tensors=HEAD,
        nodes=JUDGED,
        batch=batch,
    )
    path, out = save(model, tmp_path / "foreign.onnx"), tmp_path / "mine"
    checked = run("--check", path)
    assert checked.exit_code == 0, checked.output
    assert (
        f"output 'w+', float32 [{'?' if batch == 'N' else 1}, 8, 4, 4] is left out; `--beside w+` keeps it"
        in checked.output
    )
    assert "output 'rgb', float32 3x16x16, is RGB 16x16" in checked.output
    done = run(path, "--out", out, "--beside", "w+", "--beside", "class.scores")
    assert done.exit_code == 0, done.output
    assert "is logits, which V2 gives to who names `class_scores`" in done.output
    assert (
        "beside it, in V2, w (z), 128 numbers, class_scores (logits), 5 numbers"
        in (out / "README.md").read_text()
    )

    images, said = served(out)
    file = (out / "generator.onnx").read_bytes()
    engine = OrtEngine(rewired(file, said, everything=True), said, cuda=False, precision="fp32", threads=1)
    got = everything.split(engine.wide(said.rows(SEEDS), None), said.given)
    np.testing.assert_array_equal(got["image"], images)
    z = latents(SEEDS, 100)[:, :, None, None]
    size = None if batch == "N" else 1
    np.testing.assert_allclose(got["w"], original(model, batch=size, input=z), rtol=1e-3, atol=1e-4)
    want = original(model, batch=size, output=1, input=z)
    np.testing.assert_allclose(got["class_scores"], want, rtol=1e-3, atol=1e-3)
    assert loading.load(loading.read(out / "generator.onnx"), loading.Settings()).everything is not None


def test_a_role_may_be_said(tmp_path):
    model = telling(("a", "first_", [8, 4, 4]), ("img", "image", [3, *SIDES]))
    done = run(save(model, tmp_path / "foreign.onnx"), "--out", tmp_path / "mine", "--beside", "a=logits")
    assert done.exit_code == 0, done.output
    assert [one.role for one in served(tmp_path / "mine")[1].given] == ["image", "logits"]


HALF = [
    ("Slice", ["image", "begin", "end", "rows"], "half", {}),
    ("Slice", ["image", "begin", "end", "colours"], "grey", {}),
    ("Neg", ["image"], "negative", {}),
    ("Flatten", ["grey"], "flat_grey", {}),
    ("Flatten", ["first_"], "flat_first", {}),
]
ENDS = {"begin": np.array([0]), "end": np.array([1]), "rows": np.array([2]), "colours": np.array([1])}


@pytest.mark.parametrize(
    ("outputs", "picture"),
    [
        ([("out_8", "half", [3, 1, 16]), ("out_16", "image", [3, *SIDES])], "'out_16', float32 3x16x16"),
        ([("alpha", "grey", [1, *SIDES]), ("x", "image", [3, *SIDES])], "'x', float32 3x16x16"),
        ([("x", "negative", [3, *SIDES]), ("sample", "image", [3, *SIDES])], "'sample', float32 3x16x16"),
        ([("0", "first_", [8, 4, 4]), ("1", "image", [3, *SIDES])], "'1', float32 3x16x16"),
        ([("y", "flat_first", [128]), ("img", "flat_grey", [256])], "'img', float32 256"),
    ],
    ids=[
        "largest of several sizes",
        "colours beside a mask",
        "by its name",
        "features beside it",
        "flat, by its name",
    ],
)
def test_which_output_is_the_picture_is_proposed(tmp_path, outputs, picture):
    model = telling(*outputs, tensors=ENDS, nodes=HALF)
    checked = run("--check", save(model, tmp_path / "foreign.onnx"))
    assert checked.exit_code == 0, checked.output
    assert f"output {picture}" in checked.output
    assert "is left out" in checked.output


@pytest.mark.parametrize(
    ("outputs", "options", "said"),
    [
        (
            [("a", "negative", [3, *SIDES]), ("b", "image", [3, *SIDES])],
            [],
            "Several outputs could be the images: 'a', float32 [?, 3, 16, 16]; 'b', float32 [?, 3, 16, 16].",
        ),
        ([("y", "flat_first", [128]), ("x", "flat_grey", [256])], [], "--output y"),
        (
            [("x", "image", [3, *SIDES])],
            ["--beside", "w"],
            "There is no output 'w' beside the picture; there are none.",
        ),
        ([("x", "image", [3, *SIDES]), ("w", "w2", [])], ["--beside", "w"], "that is not one part an image"),
    ],
)
def test_what_can_t_be_known_is_asked_for(tmp_path, outputs, options, said):
    checked = run(
        "--check", save(telling(*outputs, tensors=ENDS, nodes=HALF), tmp_path / "foreign.onnx"), *options
    )
    assert checked.exit_code == 1, checked.output
    assert said in checked.output
