"""uvicorn with our protocol on a real socket, for tests; and what is sent to it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from prometheus_client import REGISTRY

from service.generator.engines.fake import FakeEngine
from service.keys import Keyring
from service.registry.models import Models
from service.web.connection.wire import Wire
from service.web.front import Front
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.site import no_bento
from tests.waiting import wait_until

BODY = b'{"seed": 3, "n": 2}'
LAST = b"GET /livez HTTP/1.1\r\nhost: wire\r\nconnection: close\r\n\r\n"


def request(body: bytes = BODY, *fields: bytes, start: bytes = b"POST /v1/samples HTTP/1.1") -> bytes:
    lines = [start, b"host: wire", b"content-length: %d" % len(body), *fields]
    return b"\r\n".join([*lines, b"", body])


class Served:
    """uvicorn with our protocol, on a thread."""

    def __init__(self, models: Models, keyring: Keyring | None = None, **options: Any) -> None:
        self.front = Front(models, no_bento, frozenset(), keyring)
        self.socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(self.front, http=Wire, log_config=None, server_header=False, **options)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self._thread.start()

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
            yield connection

    def ask(self, *parts: bytes) -> list[tuple[int, dict[str, str], bytes]]:
        """Sends the parts, each in a packet of its own, then a last request; returns the answers before that one's."""
        with self.connection() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent = b""
            # Who refuses a request closes, and resets what was sent behind it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for part in (*parts, LAST):
                    connection.sendall(part)
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    sent += chunk
            replies = answers(sent)
        return replies[:-1] if replies and replies[-1][2] == b"alive\n" else replies

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1/samples"
        return httpx.post(url, content=body, headers=headers, timeout=20, trust_env=False)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


def answers(sent: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers without the date, and body of each response."""
    found = []
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        assert headers.pop("date")
        assert headers.pop("x-request-id")
        headers.pop("server-timing", None)
        length = int(headers["content-length"])
        found.append((int(status.split()[1]), headers, rest[:length]))
        assert len(rest) >= length
        sent = rest[length:]
    return found


@contextmanager
def served(models: Models, keyring: Keyring | None = None, **options: Any) -> Iterator[Served]:
    one = Served(models, keyring, **options)
    try:
        wait_until(lambda: one.server.started)
        yield one
    finally:
        one.stop()


class Gated:
    """A served fake model whose passes wait until the gate is opened."""

    def __init__(
        self, folder: Path, stack: contextlib.ExitStack, keep_alive_seconds: int = 5, **settings: Any
    ) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.passes: list[int] = []
        tiny = Tiny(golden_samples=0)
        engine = FakeEngine(tiny.contract(), gate=self.gate, on_pass=self.passes.append)
        files = {"tiny": tiny.file()}
        models = stack.enter_context(loaded(folder, files, on=engine, engine="fake", **settings))
        self.passes.clear()
        self.gate.clear()
        stack.callback(self.gate.set)
        self.batcher = models.batcher
        assert self.batcher is not None
        self.served = stack.enter_context(served(models, timeout_keep_alive=keep_alive_seconds))
        stack.callback(self.gate.set)


def counted(code: int) -> float:
    labels = {"route": "/v1/samples", "code": str(code)}
    return REGISTRY.get_sample_value("ganserve_requests_total", labels) or 0


@contextmanager
def by_asgi(wire: Served) -> Iterator[list[str]]:
    """The paths that reach the ASGI app."""
    seen: list[str] = []
    real = wire.server.config.loaded_app

    async def watching(scope, receive, send):
        if (b"connection", b"close") not in scope["headers"] or scope["path"] != "/livez":
            seen.append(scope["path"])
        await real(scope, receive, send)

    wire.server.config.loaded_app = watching
    try:
        yield seen
    finally:
        wire.server.config.loaded_app = real
