"""A file that takes weights over classes: a label is a row of one 1, and between two labels there is a way."""

import msgspec
import numpy as np
import pytest

from service.errors import ContractError
from service.generator import contract, golden
from service.generator.file.inputs import Input
from service.generator.file.mixed import mixed
from tests.generators import CLASSES, Tiny
from tests.service.generator.file.loaded import loaded

PLAIN = Tiny(golden_samples=4)


def file() -> bytes:
    """The tiny generator, its embedding multiplied by weights in the place of being looked up."""
    return contract.write(*mixed(PLAIN.model(), PLAIN.contract()))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_label_draws_what_it_draws_where_it_is_looked_up_and_weights_what_lies_between(tmp_path, engine):
    got = loaded(tmp_path, file(), engine)
    assert got.golden is not None  # of the file that looks labels up
    assert got.contract.mixes_classes
    z, label = PLAIN.contract().drawn(range(5)), np.arange(5)
    weights = np.zeros((5, len(CLASSES)), np.float32)
    weights[3, [7, 9]] = 0.25, 0.75
    drawn = got.engine.wide(got.contract.with_scalars(z, None, weights), label)
    want = PLAIN.forward(z, label)
    hidden = PLAIN._weights()
    table = hidden["embedding"] = hidden["embedding"].copy()
    table[3] = 0.25 * table[7] + 0.75 * table[9]
    mixed = _with(hidden).forward(z, label)
    assert golden.difference(drawn[[0, 1, 2, 4]], want[[0, 1, 2, 4]]).max <= 1
    assert golden.difference(drawn[3:4], mixed[3:4]).max <= 1
    assert golden.difference(mixed[3:4], want[3:4]).max > 1


def _with(weights: dict[str, np.ndarray]) -> Tiny:
    class Other(Tiny):
        def _weights(self):
            return weights

    return Other()


def test_a_file_has_a_weight_for_each_of_its_classes():
    model, said = mixed(PLAIN.model(), PLAIN.contract())
    z, weights = said.declared
    few = msgspec.structs.replace(said, inputs=[z, Input("class_weights", "class_weights", [9])])
    with pytest.raises(ContractError, match=r"class_weights have the shape \[10\]"):
        contract.write(model, few)
    both = msgspec.structs.replace(said, inputs=[z, Input("label", "label"), weights])
    with pytest.raises(ContractError, match="there is one label"):
        contract.write(model, both)


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (Tiny(classes=None), "has no classes"),
        (Tiny(fails_on_large_z=True), "Add '' does more with the label"),
    ],
)
def test_a_label_that_is_more_than_looked_up_cant_be_mixed(plain, says):
    with pytest.raises(ContractError, match=says):
        mixed(plain.model(), plain.contract())
