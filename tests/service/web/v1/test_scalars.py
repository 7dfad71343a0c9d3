"""What a generator of schema 2 takes beside z and label, on every route that draws."""

import io

import numpy as np
import pytest
from PIL import Image

from service.generator import golden
from tests.generators.styled import Styled
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.service.web.v1.test_addresses import led_to, versioned

STYLED = Styled(law="uniform", batch=3)


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    files = {"styled": STYLED.file()}
    with loaded(tmp_path_factory.mktemp("models"), files, engine="onnxruntime", threads=2) as models:
        yield Site(models)


def drawn(seeds: range, psi: float | list[float] = 0.75, truncation: float = 1.0) -> np.ndarray:
    contract = STYLED.contract()
    rows = contract.truncated(contract.rows(seeds), truncation)
    rows[:, -1] = psi
    return STYLED.forward(rows, np.array(seeds) % 3)


def assert_drawn(content: bytes, want: np.ndarray) -> None:
    got = np.load(io.BytesIO(content), allow_pickle=False).transpose(0, 3, 1, 2)
    assert golden.difference(got, want).max <= 1


@pytest.mark.parametrize("psi", [None, 0.25, [0.0, 0.5, 1.0, 0.25, 0.75]])
def test_samples_have_the_scalars_that_are_asked_for(styled: Site, psi):
    asked = {"seed": 3, "n": 5, "format": "npy"} | ({} if psi is None else {"scalars": {"psi": psi}})
    assert_drawn(styled.samples(**asked).content, drawn(range(3, 8), 0.75 if psi is None else psi))


def test_truncation_and_explicit_z_go_with_scalars(styled: Site):
    asked = {"seed": 3, "format": "json", "include_z": True, "scalars": {"psi": 0.5}, "truncation": 0.5}
    (image,) = styled.samples(**asked).json()["images"]
    assert len(image["z"]) == STYLED.contract().z_dim
    again = styled.samples(z=[image["z"]], label=0, scalars={"psi": 0.5}, format="npy")
    assert_drawn(again.content, drawn(range(3, 4), 0.5, 0.5))


@pytest.mark.parametrize("scalars", [{"psi": 2}, {"psy": 0.5}, {"psi": [0.5, 0.5]}, {"psi": "a"}, [0.5]])
def test_scalars_that_can_not_be_are_refused(styled: Site, scalars):
    field = "scalars" if isinstance(scalars, list) or scalars != {"psi": "a"} else "scalars[...]"
    refused(styled.samples(scalars=scalars), 422, "invalid_field", field)


def test_a_scalar_is_part_of_the_address(styled: Site):
    first = styled.get("/v1/models/styled/images/b/4.png?psi=0.250")
    assert led_to(first) == versioned(styled, "b/4.png?psi=0.25", "styled")
    image = styled.get(led_to(first))
    with Image.open(io.BytesIO(image.content)) as read:
        got = np.asarray(read).transpose(2, 0, 1)[None]
    assert golden.difference(got, drawn(range(4, 5), 0.25)).max <= 1
    usual = styled.get("/v1/models/styled/images/b/4.png?psi=0.75")
    assert led_to(usual) == versioned(styled, "b/4.png", "styled")
    assert image.headers["etag"] != styled.get(led_to(usual)).headers["etag"]
    for query in ("psi=7", "psi=nan", "psi=x", "psi=", "psi=0.5&psi=0.5"):
        assert styled.get(f"/v1/models/styled/images/b/4.png?{query}").status_code == 422


def test_ways_and_sums_have_scalars(styled: Site):
    way = {"seeds": [4, 5], "steps": 2, "format": "npy", "scalars": {"psi": 0.5}}
    got = styled.ask("POST", "/v1/interpolations", json=way)
    assert_drawn(got.content, drawn(range(4, 6), 0.5))
    total = {"terms": [{"weight": 1, "seeds": [4]}], "normalize": False, "label": 1, "format": "npy"}
    got = styled.ask("POST", "/v1/arithmetic", json=total | {"scalars": {"psi": 0.5}})
    assert_drawn(got.content, drawn(range(4, 5), 0.5))
    refused(
        styled.ask("POST", "/v1/arithmetic", json=total | {"scalars": {"psi": 3}}),
        422,
        "invalid_field",
        "scalars",
    )


def test_v2_has_a_tensor_of_each_scalar(styled: Site):
    tensors = [
        {"name": "seed", "datatype": "INT64", "shape": [3], "data": [3, 4, 5]},
        {"name": "psi", "datatype": "FP32", "shape": [3], "data": [0.0, 0.5, 1.0]},
    ]
    reply = styled.ask("POST", "/v2/models/styled/infer", json={"inputs": tensors}).json()["outputs"][0]
    got = np.array(reply["data"], np.uint8).reshape(reply["shape"])
    assert golden.difference(got, drawn(range(3, 6), [0.0, 0.5, 1.0])).max <= 1
    told = styled.get("/v2/models/styled").json()["inputs"]
    assert {"name": "psi", "datatype": "FP32", "shape": [-1]} in told
    tensors[1]["data"] = [0.0, 0.5, 2.0]
    assert styled.ask("POST", "/v2/models/styled/infer", json={"inputs": tensors}).status_code == 400


def test_the_card_says_what_there_is(styled: Site):
    card = styled.get("/v1/models/styled").json()
    assert card["batch"] == 3
    assert card["inputs"][2] == {"name": "psi", "role": "scalar", "low": 0, "high": 1, "default": 0.75}
    assert [one["role"] for one in card["inputs"]] == ["z", "label", "scalar", "noise"]
    assert card["max_images"] == 256
