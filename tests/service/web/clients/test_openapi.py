from typing import Any

import pytest

from service.settings import Settings
from service.web.clients.openai import ROUTES
from service.web.openapi import document
from tests.service.web.site import Site

GENERATIONS = document(ROUTES, Settings())["paths"]["/v1/images/generations"]["post"]


@pytest.mark.parametrize("name", GENERATIONS["requestBody"]["content"]["application/json"]["examples"])
def test_the_examples_work(site, name):
    example = GENERATIONS["requestBody"]["content"]["application/json"]["examples"][name]["value"]
    assert ask(site, **example).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "bag"}, {"prompt": "bag", "response_format": "url"}, {"prompt": "dog"}, {"prompt": "bag", "model": "no"},
     {"prompt": "bag", "timeout": 1e-9}, {"what": 1}],
)  # fmt: skip
def test_what_is_answered_is_what_is_described(site, fields):
    response = ask(site, **fields)
    described = GENERATIONS["responses"][str(response.status_code)]
    assert response.headers["content-type"] in described["content"]
    ours = {name for name in response.headers if name.startswith(("ganserve-", "server-timing"))}
    assert ours <= set(described.get("headers", {}))
    if response.status_code != 200:
        assert f"`{response.json()['error']['code']}`" in described["description"]


def ask(site: Site, **fields: Any) -> Any:
    return site.ask("POST", "/v1/images/generations", json=fields)
