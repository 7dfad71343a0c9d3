"""What a picture says of itself, and whether it is true: as XMP in PNG, WebP and JPEG, read by others' readers too."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ganserve.generating.picture import facts_of, verify
from service.generator import images
from service.generator.provenance import Maker, embed, packet
from tests import generators
from tests.generating.written import run, served
from tests.generators import Tiny

MAKER = Maker("tiny", "0123456789ab", "onnxruntime", "fp32")
ENCODERS = {"PNG": images.png, "WEBP": images.webp, "JPEG": lambda image: images.jpeg(image, 90)}


@pytest.mark.parametrize("format", ENCODERS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 31)])
def test_the_pixels_stay_and_pillow_reads_the_packet(format, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    plain = ENCODERS[format](image)
    xmp = packet(MAKER, range(7, 9), [3, 4], 0.5)
    marked = embed(plain, xmp)
    assert marked == embed(plain, xmp)
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(marked)) as after:
        assert after.format == format
        assert np.array_equal(np.asarray(before), np.asarray(after))
        told = after.getxmp()["xmpmeta"]["RDF"]["Description"]
    assert told["DigitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert facts_of(marked) == {
        "model": "tiny",
        "version": "0123456789ab",
        "engine": "onnxruntime/fp32",
        "truncation": 0.5,
        "seeds": [7, 8],
        "labels": [3, 4],
    }


def test_what_is_no_such_picture_stays_as_it_is():
    gif = images.gif(np.zeros((1, 1, 4, 4), np.uint8), 100)
    assert embed(gif, b"x") == gif


def test_verify_draws_a_picture_again_and_sees_another(tmp_path):
    models = generators.folder(tmp_path, {"tiny": Tiny().file(), "other": Tiny(weights_seed=3).file()})
    run("--model", models / "tiny", "--n", 12, "--truncation", 0.7, "--out", tmp_path / "set")
    picture = tmp_path / "set" / "sneaker" / "7.png"

    def said(file, model="tiny", code=0) -> str:
        result = CliRunner().invoke(
            verify, [str(file), "--model", str(models / model)], env={"GANSERVE_ENGINE": "onnxruntime"}
        )
        assert result.exit_code == code, result.output
        return result.output

    assert "seed 7 of tiny@" in said(picture)
    assert "bit for bit" in said(picture)
    assert "is version" in said(picture, "other", code=1)
    forged = tmp_path / "forged.png"
    forged.write_bytes(picture.read_bytes().replace(b'seeds="7"', b'seeds="8"'))
    assert "levels apart" in said(forged, code=1) or "can't be read" in said(forged, code=1)
    other = np.ascontiguousarray(served(models / "other", range(7, 8), [7], 0.7)[0].transpose(2, 0, 1))
    version = facts_of(picture.read_bytes())["version"]
    lie = packet(Maker("tiny", version, "onnxruntime", "fp32"), range(7, 8), [7], 0.7)
    forged.write_bytes(embed(images.png(other), lie))
    assert "levels apart" in said(forged, code=1)
    forged.write_bytes(images.png(other))
    assert "does not say what made it" in said(forged, code=1)
