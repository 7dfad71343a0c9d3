"""What counts against the quotas of a key."""

import base64

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.generator.images import png
from service.keys import keyring
from service.settings import Settings
from tests.service.web.http.keyed import NATIVE, SECRET, bearer
from tests.service.web.site import Site, refused


@pytest.fixture
def metered(site, tmp_path):
    """The site with a key whose quotas are small."""

    def start(**quotas: int) -> Site:
        path = tmp_path / "keys.toml"
        limits = "\n".join(f"{name} = {value}" for name, value in quotas.items())
        path.write_text(f'[[keys]]\nname = "drawer"\nkey = "{SECRET["drawer"]}"\n{limits}\n')
        return Site(site.front.models, native=NATIVE, keyring=keyring(Settings(api_keys_file=str(path))))

    return start


PICTURE = base64.b64encode(png(np.zeros((1, 8, 8), np.uint8))).decode()
SEEDS = [{"name": "seed", "datatype": "INT64", "shape": [3], "data": [1, 2, 3]}]
DRAWS = [
    ("POST", "/v1/samples", {"n": 3}, 3),
    ("POST", "/v1/samples", {"z": [[0.5] * 8] * 3}, 3),
    ("POST", "/v1/interpolations", {"seeds": [1, 2], "steps": 3}, 3),
    ("POST", "/v1/arithmetic", {"terms": [{"weight": 1, "seeds": [1, 2]}], "include_terms": True}, 2),
    ("POST", "/v1/images/generations", {"prompt": "bag", "n": 3}, 3),
    ("POST", "/v1/images/generations", {"prompt": "bag", "n": 3, "response_format": "url"}, 0),
    ("POST", "/v2/models/tiny/infer", {"inputs": SEEDS}, 3),
    ("GET", "/v1/models/tiny@{version}/images/bag/1.png", None, 1),
    ("POST", "/v1/inversions", {"images": [PICTURE] * 3}, 3),
    ("POST", "/v1/classifications", {"images": [PICTURE] * 3}, 3),
]  # fmt: skip


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


@pytest.mark.parametrize(("method", "path", "body", "images"), DRAWS)
def test_every_way_to_draw_is_metered_and_counts_against_the_quotas(metered, method, path, body, images):
    one = metered(images_per_minute=6, requests_per_minute=3)
    path = path.replace("{version}", one.front.models["tiny"].version)
    before = (
        metric("ganserve_key_images_total", key="drawer"),
        metric("ganserve_key_requests_total", key="drawer", code="200"),
    )
    allowed = min(3, 6 // images if images else 3)
    codes = [one.ask(method, path, headers=bearer("drawer"), json=body).status_code for _ in range(allowed)]
    assert codes == [200] * allowed
    after = (
        metric("ganserve_key_images_total", key="drawer"),
        metric("ganserve_key_requests_total", key="drawer", code="200"),
    )
    assert after == (before[0] + allowed * images, before[1] + allowed)
    response = one.ask(method, path, headers=bearer("drawer"), json=body)
    assert response.status_code == 429
    assert (
        "quota_exceeded" in response.text + response.headers.get("ganserve-error", "")
        or "rate_limit" in response.text
    )
    assert int(response.headers["retry-after"]) in range(1, 61)


def test_a_quota_refuses_with_a_code_and_the_time_to_wait_and_takes_nothing_else(metered):
    one = metered(images_per_minute=6)
    refusals = metric("ganserve_refused_total", reason="quota")
    assert one.ask("POST", "/v1/samples", json={"n": 6}, headers=bearer("drawer")).status_code == 200
    response = one.ask("POST", "/v1/samples", json={"n": 2}, headers=bearer("drawer"))
    assert "6 images a minute" in refused(response, 429, "quota_exceeded")
    assert response.headers["retry-after"] == "20"
    assert metric("ganserve_refused_total", reason="quota") == refusals + 1
    assert one.get("/v1/models", headers=bearer("drawer")).status_code == 200, "nothing is drawn there"


def test_openais_clients_are_told_in_their_words(metered):
    one = metered(requests_per_minute=1)
    replies = [
        one.ask("POST", "/v1/images/generations", json={"prompt": "bag"}, headers=bearer("drawer"))
        for _ in range(2)
    ]
    error = replies[1].json()["error"]
    assert (replies[1].status_code, error["code"], error["type"]) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
    )


def test_what_is_wrong_with_a_request_costs_no_quota(metered):
    one = metered(requests_per_minute=1)
    for _ in range(5):
        refused(
            one.ask("POST", "/v1/samples", json={"n": 0}, headers=bearer("drawer")), 422, "invalid_field", "n"
        )
    assert one.ask("POST", "/v1/samples", json={}, headers=bearer("drawer")).status_code == 200


def test_what_a_full_queue_refuses_costs_no_quota(metered):
    one = metered(images_per_minute=6)
    models = one.front.models
    batcher = models.batcher
    assert batcher
    admission = batcher.admission
    limit, admission.max_queue_images = admission.max_queue_images, 0
    try:
        refused(one.ask("POST", "/v1/samples", json={"n": 6}, headers=bearer("drawer")), 429, "queue_full")
    finally:
        admission.max_queue_images = limit
    assert one.ask("POST", "/v1/samples", json={"n": 6}, headers=bearer("drawer")).status_code == 200
