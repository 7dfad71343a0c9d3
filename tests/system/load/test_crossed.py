"""Engines crossed with workers: over HTTP requests of all kinds come and go while versions come and go.

Nothing may fail but what asked for it, each picture is the one that is drawn alone afterwards, and nothing stays on the
books. What is more than HTTP can see, a lane that is entered twice, tests/service/generator/engines/test_engines_at_once.py sees.
"""

import asyncio
import json
import random
import shutil
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from service.generator import contract
from tests import generators
from tests.generators import Tiny
from tests.system.serving import ROOT, Server, serving
from tests.waiting import until, wait_until

SECONDS = 0.8
CHECKED = 150
FILES = sorted((ROOT / "models").glob("*/generator.onnx"))
# What is asked for are samples.
SHIPPED = [path.parent.name for path in FILES if contract.parse(path.read_bytes()).source is None]
OLD, NEW = Tiny(golden_samples=1), Tiny(golden_samples=1, weights_seed=1)
V_OLD, V_NEW = (contract.version(tiny.file()) for tiny in (OLD, NEW))
SLOW = Tiny(burn=128, golden_samples=1)
"""Passes of some 40 ms: beside such a model none computes on the event loop."""
SLOW_SECONDS = 0.02
"""Of every pass of the fake engine until all is loaded, for the same."""
MOST_SECONDS = 120
"""That a request may take, where this machine does other things."""
QUEUE_IMAGES = 6000
"""That all clients together never ask for."""


@dataclass
class Storm:
    server: Server
    models: list[str]
    dice: random.Random
    answered: list[tuple[dict[str, Any], str, bytes]] = field(default_factory=list)
    """Requests, the version that answered, and the body."""
    told: int = 0
    """Requests whose client has read that they are answered."""
    late: int = 0
    left: int = 0
    wrong: list[Any] = field(default_factory=list)

    def request(self) -> dict[str, Any]:
        model = self.dice.choice(self.models)
        n = self.dice.choice([1, 1, 1, 1, 2, 5] if model == "slow" else [1, 1, 1, 1, 2, 5, 16, 17, 70])
        fields = {
            "model": model,
            "n": n,
            "seed": self.dice.randrange(10**9),
            "format": self.dice.choice(["png", "npy", "webp"] if n == 1 else ["npy", "npy", "json"]),
            "truncation": self.dice.choice([1, 1, 0.7]),
        }
        if self.dice.random() < 0.1:
            fields["timeout"] = self.dice.choice([0.001, 0.01])
        return fields

    async def client(self, end: float) -> None:
        reader, writer = await self._connect()
        while time.monotonic() < end:
            request = self.request()
            body = json.dumps(request).encode()
            writer.write(
                b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            if self.dice.random() < 0.05:
                await asyncio.sleep(self.dice.choice([0, 0.005]))
                writer.transport.abort()
                self.left += 1
                reader, writer = await self._connect()
                continue
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            reply = await reader.readexactly(int(fields["content-length"]))
            status = int(head.split()[1])
            if status == 200:
                self.told += 1
                self.answered.append((request, fields["ganserve-version"], reply))
            elif status in (429, 504) and "timeout" in request:
                self.late += 1
            else:
                self.wrong.append((request, head, reply[:200]))
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port)

    async def rage(self, *orders: tuple[str, dict[str, Any]]) -> None:
        """Few clients, then many; each order is given in the middle of them."""
        for clients in (3, 60):
            end = time.monotonic() + SECONDS
            async with asyncio.TaskGroup() as group:
                for _ in range(clients):
                    group.create_task(self.client(end))
                for path, fields in orders:
                    await self._order(path, fields)
            orders = ()
        await until(lambda: self.server.metric("ganserve_queue_images") == 0)

    async def _order(self, path: str, fields: dict[str, Any]) -> None:
        async with httpx.AsyncClient(base_url=self.server.url, trust_env=False, timeout=60) as client:
            reply = await client.post(f"/v1/admin/{path}", json=fields, headers=self.server.token)
        assert reply.status_code == 200, reply.text

    def check(self) -> set[str]:
        """Asks again for some of what was answered, one at a time. Returns which versions of tiny had answered."""
        versions = {version for request, version, _ in self.answered if request["model"] == "tiny"}
        some = self.dice.sample(self.answered, min(CHECKED, len(self.answered)))
        with self.server.client() as client:
            for request, version, body in some:
                alone = request | {"model": f"{request['model']}@{version}"}
                alone.pop("timeout", None)
                reply = client.post("/v1/samples", json=alone)
                self.told += reply.status_code == 200
                if reply.content != body:
                    self.wrong.append((request, version, reply.status_code))
        assert not self.wrong, self.wrong[:3]
        self.answered.clear()
        return versions

    def check_books(self, workers: int) -> None:
        """What was queued has ended once, as its client was told, and the queue of each worker is as empty as at first."""

        def ended(outcome: str) -> float:
            return self.server.metric("ganserve_version_requests_total", outcome=outcome)

        def told(code: int) -> float:
            return self.server.metric("ganserve_requests_total", route="/v1/samples", code=str(code))

        # The other worker tells its numbers now and then.
        wait_until(lambda: ended("answered") == told(200) and ended("disconnect") == told(499))
        assert 0 <= told(200) - self.told <= self.left
        assert ended("deadline") <= told(504), "some are too late before they are queued"
        assert ended("failed") == told(500) == 0
        full: set[str] = set()
        while len(full) < workers:
            reply = self.server.samples(model="tiny", n=QUEUE_IMAGES, seed=1, format="npy")
            assert reply.status_code == 200, reply.text
            full.add(reply.headers["x-request-id"].partition("-")[0])


# Each engine with one worker and two, on the event loop and on threads; all of both is crossed without HTTP.
@pytest.mark.parametrize(
    ("engine", "workers", "where"),
    [
        ("fake", 1, "loop"),
        ("fake", 2, "threads"),
        ("onnxruntime", 1, "threads"),
        ("onnxruntime", 2, "loop"),
        ("openvino", 1, "loop"),
        ("openvino", 2, "threads"),
    ],
)
def test_every_picture_is_that_of_asking_alone_whatever_comes_and_goes(engine, workers, where, tmp_path):
    files = {"tiny": OLD.file()} | ({"slow": SLOW.file()} if where == "threads" else {})
    faults = tmp_path / "faults"
    if where == "threads":
        faults.write_text(str(SLOW_SECONDS))
    settings: dict[str, Any] = {"max_queue_images": QUEUE_IMAGES, "max_images_per_request": QUEUE_IMAGES}
    if engine == "fake":
        settings["fake_faults"] = faults
    folder = generators.folder(tmp_path / "models", files)
    for name in SHIPPED[:: 5 if where == "threads" else 1]:
        shutil.copytree(ROOT / "models" / name, folder / name)
    with serving(
        tmp_path / "home",
        models=folder,
        engine=engine,
        workers=workers,
        max_wait_seconds=MOST_SECONDS,
        timeout_seconds=MOST_SECONDS,
        **settings,
    ) as server:
        storm = Storm(server, ["tiny", *(path.name for path in sorted(folder.iterdir()))], random.Random(0))
        (folder / "tiny" / "generator-2.onnx").write_bytes(NEW.file())
        asyncio.run(storm.rage(("reload", {}), ("models/tiny", {"version": V_NEW, "share": 0.5})))
        faults.unlink(missing_ok=True)  # how long passes take was measured as they were loaded
        assert storm.check() == {V_OLD, V_NEW}
        asyncio.run(
            storm.rage(("models/tiny", {"version": V_NEW}), ("models/tiny/retire", {"version": V_OLD}))
        )
        storm.answered = [one for one in storm.answered if one[1] != V_OLD]
        assert storm.check() == {V_NEW}
        storm.check_books(workers)
        assert storm.late > 0
        assert storm.left > 0
        assert server.workers()
        assert not [event for event in server.events if event["level"] in ("ERROR", "CRITICAL")]
