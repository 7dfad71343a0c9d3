"""V2's outputs beside the picture: told by the metadata, and given to who names them."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.generator.latents import latents
from service.web.grpc import tensors as grpc_tensors
from tests.generators import Tiny
from tests.generators.telling import FULL
from tests.service.loaded import loaded
from tests.service.web.kserve.asking import ask, refused
from tests.service.web.kserve.tensors import tensor
from tests.service.web.site import Site

INFER = "/v2/models/telling/infer"


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    files = {"telling": FULL.file(), "tiny": Tiny().file()}
    with loaded(tmp_path_factory.mktemp("models"), files, threads=2, max_images_per_request=16) as models:
        yield Site(models)


def named(*names: str, **parameters) -> list[dict]:
    return [{"name": name, **({"parameters": parameters} if parameters else {})} for name in names]


def inferred(site: Site, *names: str, **fields) -> dict[str, np.ndarray]:
    asked = ask(tensor("seed", [5, 6]), tensor("label", [2, 7]), outputs=named(*names), **fields)
    reply = site.ask("POST", INFER, json=asked)
    assert reply.status_code == 200, reply.text
    found = reply.json()["outputs"]
    assert [one["name"] for one in found] == list(names)
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in found}


def test_metadata_and_card_tell_them(telling):
    found = telling.get("/v2/models/telling").json()["outputs"]
    assert found == [
        {"name": "style", "datatype": "FP32", "shape": [-1, 4, 16], "parameters": {"role": "z"}},
        {"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 8], "parameters": {"layout": "NCHW"}},
        {"name": "logits", "datatype": "FP32", "shape": [-1, 10], "parameters": {"role": "logits"}},
    ]
    config = telling.get("/v2/models/telling/config").json()["output"]
    assert [(one["name"], one["data_type"], one["dims"]) for one in config] == [
        ("style", "TYPE_FP32", [4, 16]),
        ("image", "TYPE_UINT8", [1, 8, 8]),
        ("logits", "TYPE_FP32", [10]),
    ]
    card = telling.get("/v1/models/telling").json()["outputs"]
    assert [(one["name"], one["role"]) for one in card] == [
        ("style", "z"),
        ("picture", "image"),
        ("logits", "logits"),
    ]
    assert [one["name"] for one in telling.get("/v1/models/tiny").json()["outputs"]] == ["image"]


def test_who_names_them_gets_them_beside_the_same_picture(telling):
    alone = inferred(telling, "image")["image"]
    both = inferred(telling, "logits", "image", "style")
    np.testing.assert_array_equal(both["image"], alone)
    want = FULL.beside(latents([5, 6], 8), np.array([2, 7]))
    np.testing.assert_allclose(both["logits"], want["logits"], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(both["style"], want["style"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(inferred(telling, "logits")["logits"], both["logits"])


def test_who_names_none_gets_the_picture(telling):
    reply = telling.ask("POST", INFER, json=ask(tensor("seed", [5])))
    assert [one["name"] for one in reply.json()["outputs"]] == ["image"]


def test_truncation_counts_for_all_of_them(telling):
    got = inferred(telling, "style", parameters={"truncation": 0.5})["style"]
    want = FULL.beside(latents([5, 6], 8) * np.float32(0.5), np.array([2, 7]))["style"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_they_come_as_bytes_where_asked(telling):
    outputs = named("logits", binary_data=True) + named("image")
    asked = ask(tensor("seed", [5]), tensor("label", [2]), outputs=outputs)
    reply = telling.ask("POST", INFER, json=asked)
    head = int(reply.headers["inference-header-content-length"])
    document, content = json.loads(reply.content[:head]), reply.content[head:]
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 40}
    logits = np.frombuffer(content, "<f4")
    want = FULL.beside(latents([5], 8), np.array([2]))["logits"][0]
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-3)


def test_requests_of_both_kinds_at_once_get_what_each_asked_for(telling):
    async def all_at_once() -> list:
        async with telling.client() as client:
            return await asyncio.gather(
                *(
                    client.post(
                        INFER,
                        json=ask(
                            tensor("seed", [seed]),
                            tensor("label", [seed % 10]),
                            outputs=named(*(("image", "logits") if seed % 2 else ("image",))),
                        ),
                    )
                    for seed in range(40)
                )
            )

    for seed, reply in enumerate(asyncio.run(all_at_once())):
        found = {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in reply.json()["outputs"]}
        z, label = latents([seed], 8), np.array([seed % 10])
        np.testing.assert_array_equal(found["image"], FULL.tiny.forward(z, label))
        assert set(found) == ({"image", "logits"} if seed % 2 else {"image"})
        if seed % 2:
            want = FULL.beside(z, label)["logits"]
            np.testing.assert_allclose(found["logits"], want, rtol=1e-4, atol=1e-3)


def test_what_there_is_not_is_refused_with_what_there_is(telling):
    detail = refused(
        telling.ask("POST", INFER, json=ask(tensor("seed", [1]), outputs=named("w"))), 400, "invalid_field"
    )
    assert detail == "outputs: There is no output 'w'; allowed is image or style or logits."
    only = telling.ask(
        "POST", "/v2/models/tiny/infer", json=ask(tensor("seed", [1]), outputs=named("logits"))
    )
    assert refused(only, 400, "invalid_field") == "outputs: There is no output 'logits'; allowed is image."


def test_the_writer_of_grpc_sends_those_that_are_wanted():
    drawn: Any = SimpleNamespace(model=SimpleNamespace(name="telling", version="0a"))
    tensors = {"image": np.zeros((1, 1, 2, 2), np.uint8), "logits": np.array([[0.5]], np.float32)}
    reply = grpc_tensors.write("7", {"logits": False}, drawn, tensors)
    assert [(one.name, one.datatype, list(one.shape)) for one in reply.outputs] == [
        ("logits", "FP32", [1, 1])
    ]
    assert list(reply.raw_output_contents) == [np.float32(0.5).tobytes()]
