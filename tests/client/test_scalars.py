"""Scalars of a request, by the client and its command line: what is sent, also in pieces."""

import io
import json

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from ganserve.__main__ import main
from ganserve.client import Client

MOST = 3


def server(seen: list[dict]) -> httpx.MockTransport:
    """Of a model whose requests may have three images: they are large."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v1/models"):
            return httpx.Response(200, json={"id": "styled", "max_images": MOST})
        asked = json.loads(request.content)
        seen.append(asked)
        content = io.BytesIO()
        np.save(content, np.zeros((asked.get("n", 1), 2, 2, 3), np.uint8))
        first, n = asked.get("seed", 7), asked.get("n", 1)
        headers = {
            "ganserve-model": "styled",
            "ganserve-version": "0" * 12,
            "ganserve-seeds": f"{first}-{first + n - 1}" if n > 1 else f"{first}",
        }
        return httpx.Response(200, content=content.getvalue(), headers=headers)

    return httpx.MockTransport(answer)


def test_a_scalar_per_image_is_cut_with_the_images_and_one_for_all_is_not():
    seen: list[dict] = []
    with Client("http://x", transport=server(seen)) as client:
        psi = np.linspace(0, 1, 5, dtype=np.float32)
        got = client.sample(n=5, seed=1, model="styled", scalars={"psi": psi, "sigma": 2})
    assert len(got.images) == 5
    by_seed = {one["seed"]: one for one in seen}
    assert by_seed[1]["scalars"] == {"psi": [0, 0.25, 0.5], "sigma": 2}
    assert by_seed[4]["scalars"] == {"psi": [0.75, 1], "sigma": 2}
    assert (by_seed[1]["n"], by_seed[4]["n"]) == (MOST, 2)


def test_without_scalars_none_are_sent():
    seen: list[dict] = []
    with Client("http://x", transport=server(seen)) as client:
        client.sample(n=2, model="styled")
    assert "scalars" not in seen[0]


@pytest.mark.parametrize("value", ["psi", "psi=", "psi=x", "psi=nan"])
def test_a_scalar_without_a_number_is_wrong_usage(value):
    words = ["sample", "--scalar", value, "-o", "x.png", "--url", "http://127.0.0.1:1"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output


def test_a_text_per_image_is_cut_with_the_images_and_one_for_all_is_not():
    for text, n, cut in (
        (["a", "b", "c", "d"], None, [["a", "b", "c"], ["d"]]),
        ("a bag", 4, ["a bag", "a bag"]),
    ):
        seen: list[dict] = []
        with Client("http://x", transport=server(seen)) as client:
            client.sample(text=text, n=n, seed=1, model="styled")
        assert [one["text"] for one in sorted(seen, key=lambda one: one["seed"])] == cut
