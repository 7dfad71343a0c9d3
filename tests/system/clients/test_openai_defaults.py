"""What OpenAI's clients and those who build on them send when nobody tells them otherwise."""

import base64
import io

import openai
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as one:
        yield one


def test_langchains_wrappers_get_the_address_that_they_read(server, client):
    """`DallEAPIWrapper` of Python sends these fields, that of JavaScript two beside; both read `url`.

    The packages themselves are in test_other_packages.py, which needs their indexes.
    """
    for more in ({}, {"response_format": "url", "style": "vivid"}):
        reply = client.images.generate(
            prompt="a sneaker", model="tiny", n=2, size="1024x1024", quality="standard", extra_body=more
        )
        urls = "\n".join(item.url for item in reply.data).split("\n")
        for url in urls:
            assert Image.open(io.BytesIO(server.get(url).content)).size == (1024, 1024)
        assert reply.usage.total_tokens == 0


def test_a_stream_ends_in_whole_images(server, client):
    events = list(client.images.generate(model="tiny", prompt="bag", n=2, stream=True, partial_images=2))
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    for event in events:
        same = server.samples(model="tiny", label="bag", seed=event.seed).content
        assert base64.b64decode(event.b64_json) == same
        assert event.usage.input_tokens_details.text_tokens == 0
