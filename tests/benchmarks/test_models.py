from pathlib import Path

import numpy as np
import pytest

from benchmarks import models
from service.generator.contract import parse
from service.generator.engines.ort import OrtEngine
from service.generator.latents import latents


@pytest.mark.parametrize(
    ("file", "image"),
    [(models.instant(), (1, 32, 32)), (models.large(channels=(8, 8, 4)), (3, 16, 16))],
    ids=["instant", "large, narrow"],
)
def test_models_keep_the_contract_and_draw_pictures_that_differ(file, image):
    contract = parse(file)
    assert (contract.image.channels, contract.image.height, contract.image.width) == image
    engine = OrtEngine(file, contract, cuda=False, precision="fp32", threads=1)
    z = latents(range(4), contract.z_dim)
    pictures = engine.wide(np.concatenate([z, z]), np.repeat(np.array([0, 9]), 4))
    assert pictures.shape == (8, *image)
    assert len({picture.tobytes() for picture in pictures}) == 8  # by z, and by label
    assert pictures.std() > 20  # neither grey nor all black and white
    assert np.mean((pictures == 0) | (pictures == 255)) < 0.5


def test_the_large_model_has_nine_million_parameters():
    assert 4 * 8.5e6 < len(models.large()) < 4 * 9.5e6


def test_a_model_stands_alone_in_its_folder(tmp_path: Path):
    path = models.write("instant", tmp_path)
    assert list((tmp_path / "instant").iterdir()) == [path.parent]
    assert parse(path.read_bytes()).name == "instant"
