"""Scalars by the clients of others: the same images, the same check and the same words everywhere."""

import asyncio
import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.generator import golden
from tests.service.loaded import loaded
from tests.service.web.clients.test_bento import sample
from tests.service.web.site import Site
from tests.service.web.v1.test_scalars import STYLED, drawn


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    files = {"styled": STYLED.file()}
    settings = {"engine": "onnxruntime", "threads": 1, "provenance": "on"}
    with loaded(tmp_path_factory.mktemp("models"), files, **settings) as models:
        yield Site(models)


def assert_same(got: Any, want: np.ndarray) -> None:
    """got: uint8 [n, H, W, C]; want: [n, C, H, W]."""
    assert golden.difference(np.asarray(got, np.uint8).transpose(0, 3, 1, 2), want).max <= 1


def pixels(picture: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(picture)) as read:
        return np.asarray(read)


def generations(styled: Site, **fields: Any) -> httpx.Response:
    return styled.ask("POST", "/v1/images/generations", json={"prompt": "b", "seed": 4, **fields})


def test_openais_images_have_the_scalars_and_so_have_their_addresses(styled: Site):
    want = drawn_of_b([0.25, 0.75, 1.0])
    reply = generations(styled, n=3, scalars={"psi": [0.25, 0.75, 1]}).json()["data"]
    assert_same([pixels(base64.b64decode(one["b64_json"])) for one in reply], want)
    assert [one["url"].partition("/images/")[2] for one in reply] == [
        "b/4.png?psi=0.25",
        "b/5.png",  # which is the default
        "b/6.png?psi=1.0",
    ]
    assert_same([pixels(styled.get(one["url"]).content) for one in reply], want)
    (one,) = generations(styled, scalars={"psi": 0.25}, truncation=0.5, response_format="url").json()["data"]
    assert one["url"].endswith("b/4.png?truncation=0.5&psi=0.25")
    assert styled.get(one["url"]).status_code == 200


def drawn_of_b(psi: list[float]) -> np.ndarray:
    contract = STYLED.contract()
    rows = contract.rows(range(4, 4 + len(psi)))
    rows[:, -1] = psi
    return STYLED.forward(rows, np.ones(len(psi), np.int64))


def test_hugging_faces_image_has_the_scalars(styled: Site):
    asked = {"inputs": "b", "parameters": {"seed": 4, "scalars": {"psi": 0.25}}}
    assert_same(pixels(styled.ask("POST", "/", json=asked).content)[None], drawn_of_b([0.25]))


def test_bentomls_images_have_the_scalars(styled: Site):
    reply = sample(styled.front.models, label="b", n=2, seed=4, scalars={"psi": [0.25, 1.0]})
    assert_same(json.loads(reply.body), drawn_of_b([0.25, 1.0]))


def test_kserve_v1_has_them_in_an_instance_and_draws_the_models_own_law(styled: Site):
    def predicted(*instances: dict[str, Any]) -> httpx.Response:
        return styled.ask("POST", "/v1/models/styled:predict", json={"instances": list(instances)})

    got = predicted({"seed": 3, "scalars": {"psi": 0.25}}, {"seed": 4}, {"seed": 5, "scalars": {"psi": 1}})
    assert_same(got.json()["predictions"], drawn(range(3, 6), [0.25, 0.75, 1.0]))
    z = STYLED.contract().drawn([4])[0].tolist()
    by_z = predicted({"z": z, "label": 1, "scalars": {"psi": 0.25}})
    assert_same(by_z.json()["predictions"], drawn_of_b([0.25]))


@pytest.mark.parametrize("scalars", [{"psi": 2}, {"psy": 0.5}])
def test_every_route_refuses_the_same_scalars_in_the_same_words(styled: Site, scalars):
    said = styled.samples(scalars=scalars)
    assert said.status_code == 422
    words = said.json()["detail"]
    instance = {"seed": 1, "scalars": scalars}
    for reply in (
        generations(styled, scalars=scalars),
        styled.ask("POST", "/", json={"inputs": "b", "parameters": {"scalars": scalars}}),
        styled.ask("POST", "/v1/models/styled:predict", json={"instances": [instance]}),
    ):
        assert reply.status_code in (400, 422)  # as each protocol has it
        assert f'{words}"' in reply.text
    native = sample(styled.front.models, scalars=scalars)
    assert (native.status, json.loads(native.body)["detail"]) == (422, words)


def test_bentomls_method_takes_the_field(styled: Site):
    from service.registry.rollout import Rollout
    from service.web.clients.bento import checked
    from service.web.http.asgi import Call

    async def body() -> dict[str, Any]:
        sent = [{"type": "http.request", "body": b'{"scalars": {"psi": [0.5]}}', "more_body": False}]

        async def receive() -> Any:
            return sent.pop()

        models = styled.front.models
        scope = {"headers": [(b"content-type", b"application/json")]}
        call = Call(scope, receive, models, False, Rollout(models), lambda: None, 0.0)
        return json.loads((await (await checked(call))())["body"])

    assert asyncio.run(body()) == {"scalars": {"psi": [0.5]}}


def test_a_picture_of_other_scalars_does_not_say_that_its_seed_alone_makes_it(styled: Site):
    assert b'ganserve:seeds="4"' in styled.samples(seed=4).content
    assert b'ganserve:seeds="4"' in styled.samples(seed=4, scalars={"psi": 0.75}).content
    other = styled.samples(seed=4, scalars={"psi": 0.5})
    assert b"ganserve:model" in other.content
    assert b"ganserve:seeds" not in other.content
