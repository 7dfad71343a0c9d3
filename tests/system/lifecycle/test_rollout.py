"""A new version, a canary, all requests, and back, on two workers that are asked all the while."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from service.generator import contract
from service.registry import desired_state
from service.registry.desired_state import Report
from tests import generators
from tests.generators import Tiny
from tests.system.serving import Server, serving
from tests.waiting import until, wait_until

OLD, NEW, NEXT = (Tiny(golden_samples=1, weights_seed=seed) for seed in range(3))
V_OLD, V_NEW, V_NEXT = (contract.version(tiny.file()) for tiny in (OLD, NEW, NEXT))
CLIENTS = 8


class Visitors:
    """Clients that ask without a pause, each on a new connection now and then, which either worker may get."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.failures: list[Any] = []
        self.versions: list[str] = []
        """Of the answers to requests that named none, in the order in which they were asked for."""
        self.images: dict[str, set[bytes]] = {}
        """What was ever seen at each versioned address."""
        self.addresses = [f"/v1/models/tiny@{V_OLD}/images/bag/{seed}.png" for seed in range(3)]
        self._seeds = itertools.count()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        visits = [asyncio.create_task(self._visit()) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            for visit in visits:
                visit.cancel()
            await asyncio.gather(*visits, return_exceptions=True)

    async def next_versions(self, count: int) -> list[str]:
        """Those of requests that begin from now on."""
        self.versions = []
        await until(lambda: len(self.versions) >= count)
        return self.versions

    async def _visit(self) -> None:
        while True:
            async with httpx.AsyncClient(
                base_url=self.server.url, trust_env=False, verify=False, timeout=20
            ) as client:
                for _ in range(50):
                    await self._ask(client)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        seed = next(self._seeds)
        versions = self.versions
        try:
            sampled = await client.post("/v1/samples", json={"model": "tiny", "seed": seed})
            address = self.addresses[seed % len(self.addresses)]
            image = await client.get(address)
            found = await client.get(f"/v1/models/tiny/images/bag/{seed}.png", follow_redirects=True)
            ready = await client.get("/readyz")
        except httpx.TransportError as error:
            self.failures.append(error)
            return
        for reply in (sampled, image, found, ready):
            if reply.status_code != 200:
                self.failures.append((reply.request.url, reply.status_code, reply.text))
        versions.append(sampled.headers["ganserve-version"])
        versions.append(found.headers["ganserve-version"])
        self.images.setdefault(address, set()).add(image.content)


async def order(server: Server, path: str, **fields: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=60) as client:
        response = await client.post(f"/v1/admin/{path}", json=fields, headers=server.token)
    assert response.status_code == 200, response.text
    assert len(response.json()["workers"]) == 2
    return response.json()


def test_versions_come_and_go_on_all_workers_and_no_request_is_lost(tmp_path):
    folder = generators.folder(tmp_path / "models", {"tiny": OLD.file(), "other": Tiny(classes=None).file()})

    def drop(file: str, tiny: Tiny) -> None:
        new = folder / "tiny" / f"{file}.new"
        new.write_bytes(tiny.file())
        new.replace(folder / "tiny" / file)

    async def scene(server: Server, visitors: Visitors) -> None:
        async with visitors.asking():
            assert set(await visitors.next_versions(100)) == {V_OLD}
            drop("generator-2.onnx", NEW)
            await order(server, "reload")
            visitors.addresses += [f"/v1/models/tiny@{V_NEW}/images/bag/{seed}.png" for seed in range(3)]
            assert set(await visitors.next_versions(100)) == {V_OLD}
            await order(server, "models/tiny", version=V_NEW, share=0.3)
            got = await visitors.next_versions(800)
            assert set(got) == {V_OLD, V_NEW}
            # Both answers to a seed go the same way, so they are one draw.
            assert abs(got.count(V_NEW) / len(got) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / (len(got) / 2))
            for version in (V_NEW, V_OLD, V_NEW):
                await order(server, "models/tiny", version=version)
                assert set(await visitors.next_versions(200)) == {version}
            drop("generator.onnx", NEXT)
            await order(server, "reload")
            assert set(await visitors.next_versions(100)) == {V_NEW}
            await order(server, "models/tiny", version=V_NEXT, share=0.5)
            await order(server, "models/tiny", version=V_NEXT)
            assert set(await visitors.next_versions(200)) == {V_NEXT}
        assert visitors.failures == []
        assert len(visitors.images) == 6
        assert {len(seen) for seen in visitors.images.values()} == {1}
        by_seed = list(visitors.images.values())
        assert not set.union(*by_seed[:3]) & set.union(*by_seed[3:])

    with serving(
        tmp_path / "home", models=folder, default_model="tiny", engine="onnxruntime", workers=2
    ) as server:
        visitors = Visitors(server)
        asyncio.run(scene(server, visitors))
        assert server.metric("ganserve_version_requests_total", outcome="failed") == 0
        answered = [
            server.metric("ganserve_version_requests_total", version=version, outcome="answered")
            for version in (V_OLD, V_NEW, V_NEXT)
        ]
        assert min(answered) > 200
        assert server.metric("ganserve_traffic_share", version=V_NEXT) == 1
        assert server.metric("ganserve_traffic_share", version=V_OLD) == 0
        # A worker that starts again serves what the other does, V_OLD too, whose file has been replaced.
        shared = server.folder / "desired"
        before = desired_state.reports(shared)
        psutil.Process(before[0].pid).kill()
        wait_until(lambda: [one.models for one in new_ones(shared, before)] == [before[1].models], seconds=40)
        asyncio.run(order(server, "models/tiny/retire", version=V_NEW))
        for address, seen in visitors.images.items():
            replies = [server.get(address) for _ in range(8)]
            if V_NEW in address:
                assert {reply.status_code for reply in replies} == {404}
            else:
                assert {reply.content for reply in replies} == seen


def new_ones(shared: Path, before: list[Report]) -> list[Report]:
    known = {one.pid for one in before}
    return [one for one in desired_state.reports(shared) if one.pid not in known]
