"""Inferences of the tests, and what comes of them."""

import json
import threading
from typing import Any

import httpx
import numpy as np

from tests.service.web.site import Site

TINY = "/v2/models/tiny"


def ask(*inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"inputs": list(inputs)} | fields


def pixels(response: httpx.Response) -> np.ndarray:
    """The images of a reply, whichever way they came."""
    assert response.status_code == 200, response.text
    length = response.headers.get("inference-header-content-length")
    document = json.loads(response.content[: None if length is None else int(length)])
    (output,) = document["outputs"]
    assert (output["name"], output["datatype"]) == ("image", "UINT8")
    if length is None:
        assert response.headers["content-type"] == "application/json"
        return np.array(output["data"], np.uint8).reshape(output["shape"])
    assert response.headers["content-type"] == "application/octet-stream"
    content = response.content[int(length) :]
    assert output["parameters"] == {"binary_data_size": len(content)}
    return np.frombuffer(content, np.uint8).reshape(output["shape"])


def refused(response: httpx.Response, status: int, code: str) -> str:
    """Asserts that a reply is this error, in the protocol's shape; returns its text."""
    assert response.headers["content-type"] == "application/json"
    assert (response.status_code, response.headers["ganserve-error"]) == (status, code), response.text
    assert list(response.json()) == ["error"]
    return response.json()["error"]


class Stage:
    """A site on a fake engine that waits at a gate, fails on label 9, and notes how large its passes were."""

    def __init__(self, models: Any, gate: threading.Event, passes: list[int]) -> None:
        self.site, self.models, self.gate, self.passes = Site(models), models, gate, passes
