"""Interpolations and arithmetic, of a real server."""

import base64
import io

import numpy as np
from PIL import Image


def test_the_way_between_two_sneakers_plays_and_begins_and_ends_with_them(server):
    asked = {"seeds": [1, 2], "label": "Sneaker", "steps": 6, "model": "colour"}
    with server.client() as client:
        reply = client.post("/v1/interpolations", json={**asked, "format": "gif", "loop": True})
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/gif")
        with Image.open(io.BytesIO(reply.content), formats=["GIF"]) as animation:
            assert (animation.n_frames, animation.info["loop"]) == (10, 0)  # pyright: ignore[reportAttributeAccessIssue]
        row = client.post("/v1/interpolations", json={**asked, "format": "npy"})
        images = np.load(io.BytesIO(row.content), allow_pickle=False)
        ends = [client.post("/v1/samples", json={"seed": seed, "label": 7, "model": "colour", "format": "npy"})
                for seed in (1, 2)]  # fmt: skip
    for place, end in zip((0, -1), ends, strict=True):
        np.testing.assert_array_equal(images[place], np.load(io.BytesIO(end.content))[0])


def test_the_z_of_a_sum_draws_its_image_again(server):
    terms = [
        {"weight": weight, "seeds": [seed, seed + 1, seed + 2]} for weight, seed in ((1, 1), (-1, 4), (1, 7))
    ]
    with server.client() as client:
        reply = client.post(
            "/v1/arithmetic",
            json={"terms": terms, "label": "Bag", "include_terms": True, "format": "json"},
        )
        images = reply.json()["images"]
        assert len(images) == 4
        again = client.post("/v1/samples", json={"z": [images[-1]["z"]], "label": "Bag"})
        assert again.content == base64.b64decode(images[-1]["image"])
        mistake = client.post("/v1/arithmetic", json={"terms": [{"weight": 0, "seeds": [1]}]})
        assert (mistake.status_code, mistake.json()["code"]) == (422, "invalid_field")
    assert server.metric("ganserve_requests_total", route="/v1/arithmetic", code="200") >= 1
