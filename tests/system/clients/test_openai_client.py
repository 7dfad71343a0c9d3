"""The openai package, as it comes, against a real server."""

import asyncio
import base64
import inspect
import io

import numpy as np
import openai
import pytest
from PIL import Image

from service.web.clients.openai import GenerationRequest
from service.web.clients.openai_variations import VariationRequest
from tests.generators import CLASSES


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as one:
        yield one


def pixels(image: openai.types.Image) -> np.ndarray:
    assert image.b64_json
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.b64_json))))


def test_it_gets_four_sneakers(server, client):
    reply = client.images.generate(model="tiny", prompt="sneaker", n=4, response_format="b64_json")
    assert len(reply.data) == 4
    assert {one.revised_prompt for one in reply.data} == {"Sneaker"}
    for one in reply.data:
        same = server.samples(model="tiny", label="Sneaker", seed=one.seed)
        assert base64.b64decode(one.b64_json) == same.content


def test_seed_and_truncation_go_as_extra_fields(client):
    extra = {"seed": 9, "truncation": 0.5}
    fields = {"model": "colour", "prompt": "two ankle boots", "n": 2, "extra_body": extra}
    first, again = (client.images.generate(**fields) for _ in range(2))
    assert [one.seed for one in first.data] == [9, 10]
    assert [one.b64_json for one in first.data] == [one.b64_json for one in again.data]


def test_it_gets_openais_sizes_and_formats(client):
    reply = client.images.generate(
        model="colour", prompt="a bag", size="1024x1024", output_format="jpeg", output_compression=80,
        quality="high", background="opaque", moderation="low", style="vivid", user="me", stream=False,
    )  # fmt: skip
    assert (reply.size, reply.output_format) == ("1024x1024", "jpeg")
    assert pixels(reply.data[0]).shape == (1024, 1024, 3)


def test_addresses_lead_to_the_images(server, client):
    reply = client.images.generate(model="tiny", prompt="Dress", n=2, response_format="url")
    for one in reply.data:
        assert one.url.startswith(f"{server.url}/v1/models/tiny@")
        image = server.get(one.url)
        assert "immutable" in image.headers["cache-control"]
        assert image.content == server.samples(label="dress", seed=one.seed).content


def test_behind_a_proxy_addresses_have_its_scheme_and_the_host_it_passes_on(client):
    def address(**headers: str) -> str:
        reply = client.images.generate(
            model="tiny", prompt="Dress", response_format="url", extra_headers=headers
        )
        return reply.data[0].url

    assert address(**{"Host": "a.example", "X-Forwarded-Proto": "https"}).startswith("https://a.example/v1/")
    assert "evil" not in address(**{"X-Forwarded-Host": "evil.example"})


def test_the_asynchronous_client_shares_forward_passes(server):
    async def ask() -> list[openai.types.ImagesResponse]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as one:
            prompts = [one.images.generate(model="slow", prompt="two bags", n=2) for _ in range(16)]
            return await asyncio.gather(*prompts)

    before = server.metric("ganserve_forward_passes_total", model="slow")
    replies = asyncio.run(ask())
    assert [len(one.data or []) for one in replies] == [2] * 16
    assert server.metric("ganserve_forward_passes_total", model="slow") - before < 16


def test_every_argument_that_it_has_is_a_field_or_refused_on_purpose(client):
    arguments = set(inspect.signature(client.images.generate).parameters)
    ways_to_send = {"extra_headers", "extra_query", "extra_body", "timeout"}
    refused = {"frame_count", "frame_duration_ms", "svg"}  # of animations, drawings
    assert arguments - ways_to_send - refused <= set(GenerationRequest.__struct_fields__)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI's own models have no more of it
def test_it_gets_variations_of_a_picture(server, client):
    picture = server.samples(model="tiny", label="Bag", seed=4).content
    for image in (picture, ("bag.png", io.BytesIO(picture), "image/png")):
        reply = client.images.create_variation(
            image=image, model="tiny", n=3, size="256x256", response_format="b64_json", user="me",
            extra_body={"seed": 5, "step": 0.2},
        )  # fmt: skip
        assert [one.seed for one in reply.data] == [5, 6, 7]
        assert {one.revised_prompt for one in reply.data} < set(CLASSES)
        assert [pixels(one).shape for one in reply.data] == [(256, 256)] * 3
    with pytest.raises(openai.BadRequestError, match="python -m training encode"):
        client.images.create_variation(image=picture, model="colour")


def test_every_argument_of_variations_is_a_field(client):
    arguments = set(inspect.signature(client.images.create_variation).parameters)
    ways_to_send = {"extra_headers", "extra_query", "extra_body", "timeout"}
    assert arguments - ways_to_send <= set(VariationRequest.__struct_fields__)


def test_it_lists_the_models(client):
    assert {"tiny", "colour", "bare"} <= {one.id for one in client.models.list()}
    model = client.models.retrieve("tiny")
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "ganserve")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_mistakes_are_its_own_exceptions(client):
    with pytest.raises(openai.BadRequestError) as bad:
        client.images.generate(model="tiny", prompt="a dog")
    assert (bad.value.param, bad.value.code, bad.value.type) == (
        "prompt",
        "invalid_value",
        "invalid_request_error",
    )
    assert ", ".join(CLASSES) in str(bad.value)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.images.generate(model="dall-e-3", prompt="bag")
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.BadRequestError, match="colour_of_it"):
        client.images.generate(model="tiny", prompt="bag", extra_body={"colour_of_it": "red"})
    with pytest.raises(openai.InternalServerError) as late:
        client.images.generate(model="tiny", prompt="bag", extra_body={"timeout": 1e-9})
    assert (late.value.status_code, late.value.code) == (504, "deadline_passed")
