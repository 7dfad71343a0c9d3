"""The promises, on the generators that this repository ships."""

from pathlib import Path

import numpy as np
import pytest

from service import golden
from service.contract import is_of_card, parse
from service.engines.ort import OrtEngine
from service.engines.ov import OpenVinoEngine
from service.latents import latents
from service.model import CARD

FILES = sorted((Path(__file__).parents[2] / "models").glob("*/generator.onnx"))
SIZES = (2, 3, 4, 7, 8, 16, 32, 64)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_image_is_that_of_the_network_and_bit_equal_in_every_batch(path, name):
    file = path.read_bytes()
    contract = parse(file)
    assert is_of_card(file, path.with_name(CARD).read_text())
    assert contract.golden
    if name == "openvino":
        engine = OpenVinoEngine(file, contract, precision="auto", threads=2)
    else:
        engine = OrtEngine(file, contract, cuda=False, precision="auto", threads=2)
    z = latents(range(64), contract.z_dim)
    label = None if contract.classes is None else np.arange(64) % contract.class_count

    def batches(forward, size):
        parts = [slice(i, i + size) for i in range(0, 64, size)]
        return np.concatenate([forward(z[part], None if label is None else label[part]) for part in parts])

    alone = batches(engine.wide, 1)
    for forward in (engine.wide, engine.lanes[0], engine.lanes[-1]):
        errors = golden.compare(contract, forward)
        assert errors is not None
        assert errors.excess("fp32") is None
        for size in SIZES:
            np.testing.assert_array_equal(batches(forward, size), alone, err_msg=f"in batches of {size}")
