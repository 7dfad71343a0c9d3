"""huggingface_hub's InferenceClient, as it comes, against a real server."""

import asyncio
import io

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


def test_text_to_image_gets_the_image_of_the_prompts_class(server):
    wanted = np.asarray(Image.open(io.BytesIO(server.samples(model="tiny", label="Sneaker", seed=7).content)))
    for address in (server.url, f"{server.url}/models/tiny"):
        client = InferenceClient(base_url=address, api_key="any")
        image = client.text_to_image(
            "a photo of a sneaker", seed=7, num_inference_steps=20, negative_prompt="dogs"
        )
        np.testing.assert_array_equal(np.asarray(image), wanted)
    large = client.text_to_image("bag", width=1024, height=1024, extra_body={"truncation": 0.5})
    assert large.size == (1024, 1024)
    with pytest.raises(HfHubHTTPError, match="names no class"):
        client.text_to_image("a dog")


def test_the_asynchronous_client_works_too(server):
    async def ask() -> Image.Image:
        async with AsyncInferenceClient(base_url=f"{server.url}/models/colour", api_key="any") as client:
            return await client.text_to_image("two bags", seed=1)

    assert asyncio.run(ask()).size == (16, 16)
