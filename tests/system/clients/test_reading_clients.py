"""Clients as they come, asking a model that reads a text, of a real server: ganserve's, openai, tritonclient."""

import base64
import io

import numpy as np
import openai
import pytest
import tritonclient.http as triton
from click.testing import CliRunner
from PIL import Image

import ganserve
from ganserve.__main__ import main
from service.generator import golden
from service.generator.latents import latents
from tests.generators.texts import WORDY

TEXTS = ["a dark bag", "t-shirt"]


def assert_same(images: np.ndarray, texts: list[str], first: int = 4) -> None:
    """images: uint8 [n, 8, 8, 1] or [n, 1, 8, 8]."""
    want = WORDY.of(latents(range(first, first + len(texts)), 16), texts)
    assert golden.difference(images.reshape(want.shape), want).max <= 1


def test_ganserves_client_sends_a_text_or_one_for_each_image(readers):
    with ganserve.Client(readers.url) as client:
        assert_same(client.sample(text="dark bag", n=2, seed=4, model="reader").images, ["dark bag"] * 2)
        assert_same(client.sample(text=TEXTS, seed=4, model="reader").images, TEXTS)
        way = client.interpolate([4, 5], steps=3, text="dark bag", model="reader").images
        assert_same(way[[0, -1]], ["dark bag"] * 2)
        with pytest.raises(ganserve.Refused, match="does not know 'green'"):
            client.sample(text="green", model="reader")
        with pytest.raises(ganserve.Refused, match="reads no text"):
            client.sample(text="dark", model="tiny")


def test_the_command_line_draws_a_text(readers, tmp_path):
    file = tmp_path / "bag.png"
    asked = ["sample", "--text", "a dark bag", "--seed", "4", "--model", "reader", "-o", f"{file}"]
    ran = CliRunner().invoke(main, [*asked, "--url", readers.url])
    assert ran.exit_code == 0, ran.output
    assert_same(np.asarray(Image.open(file))[None], ["a dark bag"])


def test_openais_prompt_is_the_text(readers):
    with openai.OpenAI(base_url=f"{readers.url}/v1", api_key="x", max_retries=0) as client:
        reply = client.images.generate(model="reader", prompt="A dark bag.", extra_body={"seed": 4})
        assert reply.data is not None
        (one,) = reply.data
        assert one.b64_json is not None
        assert one.revised_prompt == "A dark bag."
        assert_same(np.asarray(Image.open(io.BytesIO(base64.b64decode(one.b64_json))))[None], ["a dark bag"])
        with pytest.raises(openai.BadRequestError, match="does not know 'green'"):
            client.images.generate(model="reader", prompt="a green bag")


def asked(kind) -> list:
    seed = kind.InferInput("seed", [2], "INT64")
    seed.set_data_from_numpy(np.array([4, 5], np.int64))
    text = kind.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(np.array(TEXTS, object))
    return [seed, text]


def test_tritons_clients_send_texts(readers):
    with triton.InferenceServerClient(f"127.0.0.1:{readers.port}") as client:
        images = client.infer("reader", asked(triton)).as_numpy("image")
        assert images is not None
        assert_same(np.asarray(images, np.uint8), TEXTS)


def test_an_image_of_a_text_has_an_address(readers):
    with readers.client(follow_redirects=True) as client:
        answer = client.get("/v1/models/reader/images/4.png", params={"text": "a dark bag"})
    assert answer.url.query == b"text=a%20dark%20bag"
    assert_same(np.asarray(Image.open(io.BytesIO(answer.content)))[None], ["a dark bag"])


def test_bentomls_route_takes_a_text(readers):
    """Its own client posts this body (test_bentoml_client.py)."""
    with readers.client() as client:
        answer = client.post("/sample", json={"model": "reader", "text": "a dark bag", "seed": 4})
    assert_same(np.array(answer.json(), np.uint8), ["a dark bag"])
