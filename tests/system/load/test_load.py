"""Batching under 64 clients at once. LOAD_SECONDS sets how long; a release is tried for 30."""

import asyncio
import io
import json
import os
import random
import shutil
import time
from typing import Any

import numpy as np

from tests.system.serving import ROOT, serving

CLIENTS = 64
SECONDS = float(os.environ.get("LOAD_SECONDS", "2"))

Exchange = tuple[dict[str, Any], int, bytes]


async def storm(port: int, request_of: Any, clients: int = CLIENTS) -> list[Exchange]:
    """So many clients that ask without pause for SECONDS, and twice at least; every request, status and body.

    On bare streams: a client that took as long as the server would leave it nothing to merge.
    """
    exchanges: list[Exchange] = []
    end = time.monotonic() + SECONDS

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = 0
        while turn < 2 or time.monotonic() < end:
            request = request_of(number, turn)
            body = json.dumps(request).encode()
            writer.write(
                b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            exchanges.append((request, int(head.split()[1]), await reader.readexactly(length)))
            turn += 1
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return exchanges


def test_mixed_sizes_all_succeed_and_each_reply_is_that_of_asking_alone(server):
    rng = random.Random(0)

    def request_of(number: int, turn: int) -> dict[str, Any]:
        request = {"model": rng.choice(["tiny", "colour", "bare"]), "n": rng.randint(1, 100), "format": "npy"}
        return request | {"seed": 10**6 * (CLIENTS * turn + number)}

    exchanges = asyncio.run(storm(server.port, request_of))
    assert {status for _, status, _ in exchanges} == {200}
    for request, _, body in rng.sample(exchanges, 40):
        assert server.samples(**request).content == body
        i = rng.randrange(request["n"])
        alone = server.samples(**(request | {"n": 1, "seed": request["seed"] + i}))
        np.testing.assert_array_equal(array(alone.content)[0], array(body)[i])


def test_single_images_share_forward_passes_because_their_clients_wait(server):
    def counted() -> tuple[float, float]:
        passes = server.metric("ganserve_forward_passes_total", model="slow")
        return passes, server.metric("ganserve_requests_total", route="/v1/samples", code="200")

    def request_of(number: int, turn: int) -> dict[str, Any]:
        return {"model": "slow", "seed": CLIENTS * turn + number, "format": "npy"}

    before = counted()
    exchanges = asyncio.run(storm(server.port, request_of))
    passes, requests = (now - then for now, then in zip(counted(), before, strict=True))
    assert {status for _, status, _ in exchanges} == {200}
    assert requests == len(exchanges)
    assert passes < requests / 3
    for request, _, body in random.Random(1).sample(exchanges, 10):
        assert server.samples(**request).content == body
    assert server.metric("ganserve_queue_images") == 0


def test_with_no_settings_the_shipped_model_gives_each_of_many_clients_its_own_picture(tmp_path):
    shutil.copytree(ROOT / "models" / "fashion-mnist", tmp_path / "models" / "fashion-mnist")
    with serving(tmp_path / "home", models=tmp_path / "models", engine="auto", workers=0) as server:

        def request_of(number: int, turn: int) -> dict[str, Any]:
            n = 1 if number % 8 else 16
            return {"seed": 100 * (CLIENTS * turn + number), "n": n, "format": "npy", "label": number % 10}

        for clients in (2, CLIENTS):
            exchanges = asyncio.run(storm(server.port, request_of, clients))
            assert {status for _, status, _ in exchanges} == {200}
            for request, _, body in random.Random(2).sample(exchanges, 60):
                assert server.samples(**request).content == body


def array(body: bytes) -> np.ndarray:
    return np.load(io.BytesIO(body), allow_pickle=False)
