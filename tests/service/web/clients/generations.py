"""Requests of OpenAI's form, and what comes of them."""

from typing import Any

import httpx

from tests.service.web.site import Site

PATH = "/v1/images/generations"


def generate(site: Site, **fields: Any) -> httpx.Response:
    return site.ask("POST", PATH, json=fields)


def generated(site: Site, **fields: Any) -> dict[str, Any]:
    response = generate(site, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def refused(response: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Asserts that a reply is this error, in OpenAI's shape; returns its message."""
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status_code, error["code"], error["param"]) == (status, code, param), error
    kind = (
        "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    )
    assert error["type"] == kind
    assert 10 < len(error["message"]) < 2500
    return error["message"]
