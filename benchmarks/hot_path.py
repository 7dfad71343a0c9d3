"""python -m benchmarks.hot_path FOLDER: CPU time of a sample's way through the service's process, without sockets."""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from service.machine import instance

ROUNDS, PASSES = 10, 100
CONNECTIONS = 1000


class Transport:
    """Where replies go: nowhere; they are counted."""

    def __init__(self) -> None:
        self.replies = 0

    def write(self, reply: bytes) -> None:
        self.replies += 1

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def microseconds(folder: Path, at_once: int) -> float:
    """CPU microseconds a request on one thread, the forward pass included: the least of several rounds."""
    models, wires, transport = _connected(folder, at_once)
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for number in range(PASSES):
            wanted = transport.replies + at_once
            for i, wire in enumerate(wires):
                wire.data_received(request(number * at_once + i))
            while transport.replies < wanted:
                await asyncio.sleep(0)
        best = min(best, (time.process_time() - begun) / PASSES / at_once)
    models.batcher.close()
    return 1e6 * best


async def refused_microseconds(folder: Path) -> float:
    """CPU microseconds a request that is refused because nothing fits, of CONNECTIONS that ask at once: the least of several rounds."""
    models, wires, transport = _connected(folder, CONNECTIONS)
    admission = models.batcher.admission
    admission.accepted_images = admission.max_queue_images
    best = float("inf")
    for _ in range(ROUNDS):
        wanted = transport.replies + CONNECTIONS
        requests = [request(number) for number in range(CONNECTIONS)]
        begun = time.process_time()
        for wire, asked in zip(wires, requests, strict=True):
            wire.data_received(asked)
        while transport.replies < wanted:
            await asyncio.sleep(0.01)
        best = min(best, (time.process_time() - begun) / CONNECTIONS)
    models.batcher.close()
    return 1e6 * best


def _connected(folder: Path, at_once: int) -> tuple[Any, list[Any], Transport]:
    """The default model of the folder on one thread, so many connections to it, and where their replies go."""
    import uvicorn
    from uvicorn.server import ServerState

    from service.registry.models import Models
    from service.settings import Settings
    from service.web.connection.wire import Wire
    from service.web.front import Front

    models = Models(Settings(models=folder, engine="onnxruntime", threads=1, max_batch=max(8, at_once)))
    models.load()
    nothing: Any = None  # what is answered here goes no further
    config = uvicorn.Config(Front(models, nothing, frozenset()), interface="asgi3", ws="none", lifespan="off")
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
    transport = Transport()
    wires = [Wire(config, state, {}, asyncio.get_running_loop()) for _ in range(at_once)]
    for wire in wires:
        wire.connection_made(transport)
    return models, wires, transport


def request(seed: int) -> bytes:
    """As wrk sends it."""
    body = b'{"label": %d, "n": 1, "seed": %d, "format": "png"}' % (seed % 10, seed)
    head = b"POST /v1/samples HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nContent-Type: application/json\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--at-once",
    multiple=True,
    default=(1, 8),
    show_default=True,
    type=click.IntRange(1),
    help="Requests that wait at once; may be given several times.",
)
def main(folder: Path, at_once: tuple[int, ...]) -> None:
    """What is left to save on a sample's way through the service's process, without sockets.

    FOLDER is what GANSERVE_MODELS would be, for instance `models`; its default model is asked.
    """
    with tempfile.TemporaryDirectory() as shared:
        (Path(shared) / "metrics").mkdir()
        os.environ[instance.VARIABLE] = shared  # as a worker has it; before service.metrics is imported
        for count in at_once:
            cost = asyncio.run(microseconds(folder, count))
            print(f"{count} at once: {cost:.0f} us per request, forward pass included")
        cost = asyncio.run(refused_microseconds(folder))
        print(f"{CONNECTIONS} at once of which nothing fits: {cost:.1f} us per refusal")


if __name__ == "__main__":
    main()
