"""Servers that answer as a function says."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

from ganserve import Client

Handler = Callable[[httpx.Request], httpx.Response]


def of(handler: Handler, **options: Any) -> Client:
    """A client of a server that answers as `handler` does."""
    return Client("http://site", transport=httpx.MockTransport(handler), **options)


def drawn(request: httpx.Request) -> httpx.Response:
    """What a server draws: the seed in every pixel."""
    fields = json.loads(request.content)
    first, n = fields.get("seed", 7), fields.get("n", 1)
    images = np.broadcast_to((first + np.arange(n)).astype(np.uint8)[:, None, None, None], (n, 2, 2, 1))
    buffer = io.BytesIO()
    np.save(buffer, images)
    headers = {
        "ganserve-model": "made",
        "ganserve-version": "1",
        "ganserve-seeds": f"{first}-{first + n - 1}",
        "ganserve-labels": "3",
    }
    return httpx.Response(200, headers=headers, content=buffer.getvalue())
