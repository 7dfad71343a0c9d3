"""The promises, on the generators that this repository ships."""

from pathlib import Path

import numpy as np
import pytest

from service.generator import golden
from service.generator.contract import is_of_card, parse, version
from service.generator.engines.ort import OrtEngine
from service.generator.engines.ov import OpenVinoEngine
from service.generator.file.rewired import rewired
from service.generator.loading import CARD
from training.export.card import SAMPLES
from training.presets import PRESETS

FILES = sorted((Path(__file__).parents[2] / "models").glob("*/generator.onnx"))
SIZES = (2, 3, 7, 8, 32)
IMAGES = 32


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_image_is_that_of_the_network_and_bit_equal_in_every_batch(path, name):
    file = path.read_bytes()
    contract = parse(file)
    assert is_of_card(file, path.with_name(CARD).read_text())
    assert contract.golden
    run = rewired(file, contract)
    if name == "openvino":
        engine = OpenVinoEngine(run, contract, precision="auto", threads=2)
    else:
        engine = OrtEngine(run, contract, cuda=False, precision="auto", threads=2)
    z = contract.rows(range(IMAGES))
    label = None if contract.classes is None else np.arange(IMAGES) % contract.class_count

    def batches(forward, size):
        parts = [slice(i, i + size) for i in range(0, IMAGES, size)]
        return np.concatenate([forward(z[part], None if label is None else label[part]) for part in parts])

    alone = batches(engine.wide, 1)
    for forward in (engine.wide, engine.lanes[0], engine.lanes[-1]):
        errors = golden.compare(contract, forward)
        assert errors is not None
        assert errors.excess("fp32") is None
        for size in SIZES:
            np.testing.assert_array_equal(batches(forward, size), alone, err_msg=f"in batches of {size}")


def test_there_is_one_of_each_system_and_all_are_small():
    sizes = {path.parent.name: path.stat().st_size for path in FILES}
    # What is not trained yet is said in docs/systems.md.
    assert set(PRESETS) - {"acgan", "growing", "projected"} < set(sizes)
    assert max(sizes.values()) < 8e6
    assert sum(sizes.values()) < 50e6
    for path in FILES:
        assert path.with_name(SAMPLES).is_file()


def test_a_system_is_what_its_folder_says_and_no_copy_of_another():
    files = {path.parent.name: path.read_bytes() for path in FILES}
    assert len({version(file) for file in files.values()}) == len(files)
    pictures = set()
    for name, file in files.items():
        contract = parse(file)
        assert contract.name == name
        if name in PRESETS:
            assert contract.training["settings"]["preset"] == name
        engine = OrtEngine(rewired(file, contract), contract, cuda=False, precision="fp32", threads=1)
        label = None if contract.classes is None else np.arange(8)
        pictures.add(engine.wide(contract.rows(range(8)), label).tobytes())
    assert len(pictures) == len(files)
