import io
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.service.web.site import Site


def draw(site: Site, path: str, inputs: str = "a photo of a sneaker", **parameters: Any) -> httpx.Response:
    return site.ask("POST", path, json={"inputs": inputs, "parameters": parameters})


@pytest.mark.parametrize("path", ["/", "/models/tiny"])
def test_the_image_is_that_of_samples(site, path):
    response = draw(
        site, path, seed=5, truncation=0.5, num_inference_steps=20, scheduler="ddim", guidance_scale=7.5
    )
    assert response.headers["content-type"] == "image/png"
    assert response.content == site.samples(label="Sneaker", seed=5, truncation=0.5).content
    assert response.headers["ganserve-seeds"] == "5"
    assert site.ask("POST", path, json={"inputs": "bag"}).status_code == 200


@pytest.mark.parametrize(
    ("sides", "given", "told"),
    [({"width": 64, "height": 64}, 64, None), ({"width": 768, "height": 512}, 512, "512x512"), ({"width": 32}, 32, None)],
)  # fmt: skip
def test_the_size_is_the_nearest_that_there_is(site, sides, given, told):
    response = draw(site, "/models/tiny", **sides)
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == (given, given)
    assert response.headers.get("ganserve-size") == told


@pytest.mark.parametrize(
    ("path", "inputs", "parameters", "status", "says"),
    [
        ("/models/tiny", "a dog", {}, 400, "names no class"),
        ("/models/none", "bag", {}, 404, "there are: "),
        ("/models/tiny", "bag", {"steps": 3}, 400, "parameters.steps"),
        ("/", "bag", {"seed": -1}, 400, "parameters.seed"),
    ],
)
def test_what_is_wrong_is_said_in_the_shape_that_its_client_reads(
    site, path, inputs, parameters, status, says
):
    response = draw(site, path, inputs, **parameters)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert says in str(response.json())


def test_the_page_is_where_it_was_and_needs_no_key(site):
    assert "<title>ganserve playground</title>" in site.get("/").text
    assert site.ask("PUT", "/").status_code == 405
