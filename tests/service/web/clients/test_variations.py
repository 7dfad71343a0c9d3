"""POST /v1/images/variations, in process: OpenAI's form, and what is drawn near a picture."""

import base64

import numpy as np
import pytest

from service.generator.contract import version
from service.generator.images import decode, png
from tests.generators import Tiny, encoders
from tests.service.loaded import loaded
from tests.service.web.site import Site

TINY = Tiny()
PICTURE = TINY.forward(TINY.contract().rows([5]), np.array([3]))[0]
ENCODER = encoders.TinyEncoder(TINY.contract(), version(TINY.file()))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    encoders.beside(root, "tiny", TINY)
    files = {"tiny": TINY.file(), "plain": TINY.file()}
    with loaded(root, files, default_model="tiny", max_images_per_request=16, engine="onnxruntime") as models:
        yield Site(models)


def vary(site, file=None, **fields):
    files = {"image": png(PICTURE) if file is None else file}
    return site.ask(
        "POST", "/v1/images/variations", files=files, data={name: str(one) for name, one in fields.items()}
    )


def pixels(image) -> np.ndarray:
    return decode(base64.b64decode(image["b64_json"]))


def refused(reply, status: int, param: str | None) -> str:
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param), error
    return error["message"]


def test_variations_are_drawn_near_the_z_of_the_picture(site):
    reply = vary(site, n=3, seed=7, step=0.3).json()
    z, logits = ENCODER.forward(PICTURE[None])
    assert logits is not None
    assert TINY.classes is not None
    label = logits.argmax(axis=1)
    near = np.sqrt(1 - 0.3**2) * z + 0.3 * TINY.contract().rows([7, 8, 9])
    drawn = TINY.forward(near.astype(np.float32), label.repeat(3))
    for image, want in zip(reply["data"], drawn, strict=True):
        assert np.abs(pixels(image).astype(int) - want).max() <= 2
        assert image["revised_prompt"] == TINY.classes[label[0]]
    assert [image["seed"] for image in reply["data"]] == [7, 8, 9]


def test_a_small_step_stays_near_and_the_largest_goes_anywhere(site):
    reconstruction, small, far = (
        pixels(vary(site, seed=3, step=step).json()["data"][0]).astype(int) for step in (1e-6, 0.1, 1)
    )
    assert np.abs(reconstruction - small).mean() < np.abs(reconstruction - far).mean()
    again = site.samples(seed=3, label=vary(site).json()["data"][0]["revised_prompt"])
    assert np.abs(decode(again.content).astype(int) - far).max() <= 1


def test_sizes_and_formats_are_those_of_generations(site):
    reply = vary(site, size="256x256", output_format="jpeg")
    told = reply.json()
    assert (told["size"], told["output_format"]) == ("256x256", "jpeg")
    assert base64.b64decode(told["data"][0]["b64_json"])[:3] == b"\xff\xd8\xff"
    assert vary(site, size="100x90").headers["ganserve-size"] == "90x90"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 17}, "n"),
        ({"n": 0}, "n"),
        ({"response_format": "url"}, "response_format"),
        ({"step": 2}, "step"),
        ({"mask": "x"}, "mask"),
        ({"file": b"<svg/>"}, "image"),
        ({"file": b""}, "image"),
        ({"model": "plain"}, "model"),
    ],
)
def test_what_can_not_be_done_is_refused_in_openais_shape(site, fields, param):
    said = refused(vary(site, **fields), 400, param)
    assert param != "model" or "python -m training encode" in said


def test_two_pictures_and_none_are_refused(site):
    two = site.ask("POST", "/v1/images/variations", files=[("image", png(PICTURE))] * 2)
    refused(two, 400, "image")
    refused(site.ask("POST", "/v1/images/variations", files={"user": (None, "me")}), 400, "image")


def test_anything_but_a_form_is_an_unsupported_type(site):
    reply = site.ask("POST", "/v1/images/variations", json={"image": "x"})
    refused(reply, 415, None)
