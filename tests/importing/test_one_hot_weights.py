"""A label that is a one-hot row of real numbers takes weights over classes: the imported file says so, and is served with them."""

import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from service.generator.contract import parse
from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.test_pictures import assert_same, levels, original, run, z
from tests.service.loaded import loaded
from tests.service.web.site import Site

SEEDS = range(4)
NAMES = "cat\ndog\nbird\nfish\nfrog\n"


@pytest.fixture(params=["onnxruntime", "openvino"])
def site(request, tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    path = save(foreign.conditional_dcgan(), tmp_path / "theirs.onnx")
    result = run(path, "--out", tmp_path / "mine", "--classes", tmp_path / "names.txt")
    assert result.exit_code == 0, result.output
    files = {"mine": (tmp_path / "mine" / "generator.onnx").read_bytes()}
    with loaded(tmp_path / "models", files, engine=request.param, precision="fp32") as models:
        yield Site(models)


def drawn(site: Site, label: object) -> np.ndarray:
    """uint8 [N, C, H, W]."""
    reply = site.samples(label=label, seed=0, n=len(SEEDS), format="npy")
    assert reply.status_code == 200, reply.text
    return np.load(io.BytesIO(reply.content)).transpose(0, 3, 1, 2)


def test_weights_of_one_class_are_that_class_and_half_and_half_is_what_the_original_draws(site):
    for name in NAMES.split():
        np.testing.assert_array_equal(drawn(site, {name: 1}), drawn(site, name))
    row = np.array([[0, 0.5, 0, 0.5, 0]], np.float32).repeat(len(SEEDS), axis=0)
    noise = z(32, SEEDS).reshape(-1, 32, 1, 1)
    want = original(foreign.conditional_dcgan(), SEEDS, noise=noise, labels=row.reshape(-1, 5, 1, 1))
    got = drawn(site, {"dog": 1, "fish": 1})
    assert_same(got, levels(want))
    assert (got != drawn(site, "dog")).any()


def test_what_was_found_and_the_card_say_that_weights_are_taken(tmp_path):
    path = save(foreign.biggan(), tmp_path / "theirs.onnx")
    words = ["--constant", "truncation=0.5"]
    told = "takes the class, as one-hot, or as weights over classes, which requests may give: 7 classes"
    assert told in run(path, "--check", *words).output
    assert run(path, "--out", tmp_path / "mine", *words).exit_code == 0
    card = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert told in card
    assert (
        "| input | z, 16 numbers, standard normal; label, an index into the classes, or weights over them |"
        in card
    )
    assert parse((tmp_path / "mine" / "generator.onnx").read_bytes()).mixes_classes


def _of_whole_numbers() -> onnx.ModelProto:
    one = foreign.biggan()
    one.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    one.graph.node.insert(0, onnx.helper.make_node("Cast", ["class_vector"], ["real"], to=TensorProto.FLOAT))
    one.graph.node[1].input[0] = "real"
    return one


@pytest.mark.parametrize(
    ("make", "classes"), [(_of_whole_numbers, 7), (foreign.biggan, 6)], ids=["whole numbers", "a row more"]
)
def test_a_row_that_takes_no_share_or_has_more_than_the_named_classes_takes_one_class(
    tmp_path, make, classes
):
    path = save(make(), tmp_path / "theirs.onnx")
    result = run(path, "--out", tmp_path / "mine", "--constant", "truncation=0.5", "--classes", classes)
    assert result.exit_code == 0, result.output
    contract = parse((tmp_path / "mine" / "generator.onnx").read_bytes())
    assert (contract.mixes_classes, contract.class_count) == (False, classes)
