"""InfoGAN's codes on the routes that draw: chosen by name, or the seed's."""

import io

import numpy as np
import pytest
from PIL import Image

from service.generator import golden
from tests.service.generator.file.test_codes import Coded
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.service.web.v1.test_addresses import led_to, versioned

CODED = Coded()
COLUMN = {"c1": 2, "category": 7, "psi": 8}


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    files = {"coded": CODED.file()}
    with loaded(tmp_path_factory.mktemp("models"), files, engine="onnxruntime", threads=2) as models:
        yield Site(models)


def drawn(seeds: range, **chosen: float | list[float]) -> np.ndarray:
    rows = CODED.contract().rows(seeds)
    for name, value in chosen.items():
        rows[:, COLUMN[name]] = value
    return CODED.forward(rows)


def assert_drawn(content: bytes, want: np.ndarray) -> None:
    got = np.load(io.BytesIO(content), allow_pickle=False).transpose(0, 3, 1, 2)
    assert golden.difference(got, want).max <= 1


@pytest.mark.parametrize("field", ["codes", "scalars"])
@pytest.mark.parametrize("chosen", [{}, {"c1": -1.5}, {"c1": [0, 1, -1, 2, -2], "category": 2, "psi": 1}])
def test_samples_have_the_codes_that_are_asked_for(coded: Site, field: str, chosen: dict):
    reply = coded.samples(**{"seed": 3, "n": 5, "format": "npy", field: chosen})
    assert_drawn(reply.content, drawn(range(3, 8), **chosen))


def test_both_names_go_together_and_one_code_has_one(coded: Site):
    got = coded.samples(seed=3, format="npy", codes={"c1": -1.5}, scalars={"psi": 0.25})
    assert_drawn(got.content, drawn(range(3, 4), c1=-1.5, psi=0.25))
    refused(coded.samples(codes={"c1": 1}, scalars={"c1": 1}), 422, "invalid_field", "codes")
    for wrong in ({"c1": 3}, {"category": 0.5}, {"c9": 0}):
        assert "scalars" not in refused(coded.samples(codes=wrong), 422, "invalid_field", "codes")
        refused(coded.samples(scalars=wrong), 422, "invalid_field", "scalars")


def test_the_z_of_a_reply_has_its_codes_and_draws_it_again(coded: Site):
    asked = {"seed": 3, "format": "json", "include_z": True, "codes": {"category": 1}}
    (image,) = coded.samples(**asked).json()["images"]
    assert image["z"][COLUMN["category"]] == 1
    assert_drawn(coded.samples(z=[image["z"]], format="npy").content, drawn(range(3, 4), category=1))


def test_a_code_is_part_of_the_address_where_it_is_chosen(coded: Site):
    first = coded.get("/v1/models/coded/images/4.png?c1=-1.50")
    assert led_to(first) == versioned(coded, "4.png?c1=-1.5", "coded")
    with Image.open(io.BytesIO(coded.get(led_to(first)).content)) as read:
        got = np.asarray(read)[None, None]
    assert golden.difference(got, drawn(range(4, 5), c1=-1.5)).max <= 1
    assert led_to(coded.get("/v1/models/coded/images/4.png")) == versioned(coded, "4.png", "coded")
    for query in ("c1=nan", "c1=7", "c1=", "category=0.5", "c1=1&c1=1"):
        assert coded.get(f"/v1/models/coded/images/4.png?{query}").status_code == 422


def test_a_way_keeps_the_code_that_is_chosen(coded: Site):
    way = {"seeds": [4, 5], "steps": 2, "format": "npy", "scalars": {"c1": 1, "category": 0}}
    got = coded.ask("POST", "/v1/interpolations", json=way)
    assert_drawn(got.content, drawn(range(4, 6), c1=1, category=0))


def test_v2_and_v1_of_kserve_have_codes_for_each_image(coded: Site):
    tensors = [
        {"name": "seed", "datatype": "INT64", "shape": [3], "data": [3, 4, 5]},
        {"name": "c1", "datatype": "FP32", "shape": [3], "data": [-2, 0, 2]},
    ]
    reply = coded.ask("POST", "/v2/models/coded/infer", json={"inputs": tensors}).json()["outputs"][0]
    got = np.array(reply["data"], np.uint8).reshape(reply["shape"])
    assert golden.difference(got, drawn(range(3, 6), c1=[-2, 0, 2])).max <= 1
    told = coded.get("/v2/models/coded").json()["inputs"]
    assert {"name": "category", "datatype": "FP32", "shape": [-1]} in told
    # One names a code and the other none, which is then its seed's.
    instances = [{"seed": 3, "scalars": {"category": 2}}, {"seed": 4, "scalars": {"c1": 1}}]
    reply = coded.ask("POST", "/v1/models/coded:predict", json={"instances": instances}).json()
    got = np.array(reply["predictions"], np.uint8).transpose(0, 3, 1, 2)
    own = CODED.contract().rows(range(3, 5))
    c1, category = [own[0, 2], 1], [2, own[1, 7]]
    assert golden.difference(got, drawn(range(3, 5), c1=c1, category=category)).max <= 1


def test_the_card_says_what_there_is(coded: Site):
    card = coded.get("/v1/models/coded").json()
    assert card["inputs"][1] == {"name": "c1", "role": "code", "law": "uniform", "low": -2, "high": 2}
    assert card["inputs"][4] == {"name": "category", "role": "code", "law": "whole", "low": 0, "high": 2}
