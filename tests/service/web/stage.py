"""A site on a fake engine that waits at a gate, and a client that leaves it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.generator.engines.fake import FakeEngine
from service.registry.models import Models
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.site import Site
from tests.waiting import until

MOST = 12
"""Images in the queue, and of a request."""


class Stage:
    """Its gate is open."""

    def __init__(self, models: Models, engine: FakeEngine, gate: threading.Event) -> None:
        self.site, self.engine, self.gate, self.models = Site(models), engine, gate, models

    @property
    def waiting(self) -> int:
        assert self.models.batcher is not None
        return self.models.batcher.accepted_images


@contextmanager
def staged(folder: Path, **files: bytes) -> Iterator[Stage]:
    """files: of models beside `tiny`, which is the default. A pass of a class 9 fails."""
    gate = threading.Event()
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate)
    limits = {"max_queue_images": MOST, "max_images_per_request": MOST, "timeout_seconds": 20}
    with loaded(folder, {"tiny": tiny.file(), **files}, engine, default_model="tiny", **limits) as models:
        engine.fail_on = 9  # after it was loaded, when every class is drawn
        try:
            yield Stage(models, engine, gate)
        finally:
            gate.set()


async def ask_and_leave(site: Site, path: str, body: bytes, when: Callable[[], bool]) -> list[Any]:
    """A POST whose client leaves once `when` says so. Returns what was sent to it all the same."""
    left = asyncio.Event()
    parts = [{"type": "http.request", "body": body}]
    sent: list[Any] = []

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    request = asyncio.ensure_future(site.front(scope | {"headers": []}, receive, send))
    await until(when)
    left.set()
    await request
    return sent
