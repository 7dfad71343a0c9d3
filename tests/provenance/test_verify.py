"""What a picture says of itself, and whether it is true: as XMP, read by others' readers too."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageSequence

from ganserve.provenance.command import verify
from ganserve.provenance.told import facts_of
from service.generator import images
from service.generator.origin.provenance import Maker, Told, embed, packet
from tests import generators
from tests.generating.written import run, served
from tests.generators import Tiny

MAKER = Maker("tiny", "0123456789ab", "onnxruntime", "fp32")
ENCODERS = {
    "PNG": images.png,
    "WEBP": images.webp,
    "JPEG": lambda image: images.jpeg(image, 90),
}


@pytest.mark.parametrize("format", ENCODERS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 31)])
def test_the_pixels_stay_and_pillow_reads_the_packet(format, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    plain = ENCODERS[format](image)
    xmp = packet(MAKER, Told(range(7, 9), [3, 4], 0.5))
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


def test_an_avif_has_the_packet_and_the_same_pixels():
    image = np.random.default_rng(0).integers(0, 256, (3, 17, 31), np.uint8)
    xmp = packet(MAKER, Told(range(7, 8), [3]))
    assert images.avif(image, 75, b"") == images.avif(image, 75)
    marked = images.avif(image, 75, xmp)
    assert marked == images.avif(image, 75, xmp)
    with Image.open(io.BytesIO(images.avif(image, 75))) as before, Image.open(io.BytesIO(marked)) as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
        assert after.info["xmp"] == xmp
    assert facts_of(marked)["seeds"] == [7, 7]


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 17, 31)])
def test_a_gif_has_the_packet_and_plays_as_before(shape):
    plain = images.gif(np.random.default_rng(0).integers(0, 256, shape, np.uint8), 100)
    marked = embed(plain, packet(MAKER, Told(route="/v1/interpolations", request={"seeds": [1, 2]})))
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(marked)) as after:
        assert (len(list(ImageSequence.Iterator(after))), after.info["loop"], after.info["duration"]) == (
            2,
            0,
            100,
        )
        for frame in range(2):
            before.seek(frame)
            after.seek(frame)
            assert np.array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))
    assert facts_of(marked)["request"] == {"seeds": [1, 2]}


def test_what_is_no_such_picture_stays_as_it_is():
    assert embed(b"BM a bitmap", b"x") == b"BM a bitmap"


@pytest.mark.parametrize("length", [30_000, 40_000])
def test_what_is_too_long_for_a_jpeg_is_left_out(length):
    told = Told(route="/v1/samples", request={"z": "0" * length}, quality=90)
    marked = embed(images.jpeg(np.zeros((1, 8, 8), np.uint8), 90), packet(MAKER, told))
    with Image.open(io.BytesIO(marked)) as picture:
        said = picture.getxmp()["xmpmeta"]["RDF"]["Description"]
    assert said["model"] == "tiny"
    assert ("request" in said) == (length < 32_768)


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
    lie = packet(Maker("tiny", version, "onnxruntime", "fp32"), Told(range(7, 8), [7], 0.7))
    forged.write_bytes(embed(images.png(other), lie))
    assert "levels apart" in said(forged, code=1)
    forged.write_bytes(images.png(other))
    assert "does not say what made it" in said(forged, code=1)
