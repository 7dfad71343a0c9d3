"""No path and no address that a request names is ever opened, listed, looked up or fetched."""

import itertools
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.drawing.latent.arithmetic import ArithmeticRequest
from service.drawing.latent.interpolation import InterpolationRequest
from service.drawing.sampler import SampleRequest
from service.web.clients.bento import BentoRequest
from service.web.clients.openai import GenerationRequest
from service.web.kserve.messages import InferRequest
from service.web.pages.pulse import PULSE
from service.web.routes import ROUTES

MARK = "ganserve-outside"
NAMES = [f"/tmp/{MARK}", f"../../{MARK}", f"http://{MARK}.invalid/"]
BODIES = {
    "/v1/samples": SampleRequest,
    "/v1/interpolations": InterpolationRequest,
    "/v1/arithmetic": ArithmeticRequest,
    "/v1/images/generations": GenerationRequest,
    "/v2/models/tiny/infer": InferRequest,
    "/sample": BentoRequest,
}

_listening: list[str] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells it of every file, host and process that is asked for, whoever asks."""
    if _listening is not None and not event.startswith("object.") and MARK in repr(arguments):
        _listening.append(f"{event}{arguments}")


@pytest.fixture(scope="module", autouse=True)
def hook():
    sys.addaudithook(_hear)  # for good: there is no way to take one back


@contextmanager
def listening():
    global _listening
    _listening = heard = []
    try:
        yield heard
    finally:
        _listening = None


def test_whoever_opens_such_a_path_is_heard():
    with listening() as heard, pytest.raises(OSError, match="No such file"):
        Path(NAMES[0]).read_bytes()
    assert heard


def test_nothing_that_a_body_names_is_touched(site):
    with listening() as heard:
        for (path, struct), name in itertools.product(BODIES.items(), NAMES):
            for field in (*struct.__struct_fields__, "path", "url", "file"):
                for value in (name, [name], {"path": name}):
                    site.ask("POST", path, json={field: value})
            site.ask("POST", path, content=name.encode(), headers={"content-type": "text/uri-list"})
    assert heard == []


def test_nothing_that_a_url_or_a_header_names_is_touched(site):
    headers = [
        "host",
        "origin",
        "referer",
        "x-forwarded-host",
        "x-original-url",
        "x-request-id",
        "traceparent",
    ]
    with listening() as heard:
        for route, name in itertools.product(ROUTES, NAMES):
            method, path = route.method, route.path
            if path == PULSE:  # a stream without end
                method = "HEAD"
            quoted = name.replace("/", "%2f")
            for part in ("model", "label", "file", "version"):
                if f"{{{part}}}" in path:
                    others = {"model": "tiny", "label": "bag", "file": "1.png", "version": "1"}
                    site.ask(method, path.format(**others | {part: quoted}))
            site.ask(
                method, path.format(model="tiny", label="bag", file="1.png", version="1") + f"?file={quoted}"
            )
        for header, name in itertools.product(headers, NAMES):
            site.get("/v1/models/tiny/images/bag/1.png", headers={header: name})
            site.ask(
                "POST",
                "/v1/images/generations",
                json={"prompt": "bag", "response_format": "url"},
                headers={header: name},
            )
    assert heard == []
