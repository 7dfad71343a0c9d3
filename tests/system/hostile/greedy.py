"""Clients that want all of an event loop: python -m tests.system.hostile.greedy PORT KIND CONNECTIONS, until it is ended.

Each sends as much as the server takes, and reads nothing. A connection that is closed on it makes another.
"""

import json
import selectors
import socket
import sys
from contextlib import suppress
from itertools import count


def post(path: str, **fields: object) -> bytes:
    body = json.dumps(fields).encode()
    return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode()


_POST = b"POST /v1/samples HTTP/1.1\r\nhost: x\r\n"
_CHUNKED = _POST + b"transfer-encoding: chunked\r\n\r\n"
KINDS: dict[str, tuple[bytes, bytes]] = {
    "samples of 256, PNG": (b"", post("/v1/samples", n=256) * 300),
    "samples of 256, npy": (b"", post("/v1/samples", n=256, format="npy") * 300),
    "samples of 256, JSON": (b"", post("/v1/samples", n=256, format="json") * 300),
    "samples of 1": (b"", post("/v1/samples") * 300),
    "interpolations": (b"", post("/v1/interpolations", seeds=[1, 2], steps=200) * 300),
    "refused samples": (b"", post("/v1/samples", n=0) * 3000),
    "images": (b"", b"".join(get(f"/v1/models/tiny/images/bag/{seed}.png") for seed in range(1000))),
    "/metrics": (b"", get("/metrics") * 1000),
    "/openapi.json": (b"", get("/openapi.json") * 1000),
    "/livez": (b"", get("/livez") * 5000),
    "no such route": (b"", get("/none") * 5000),
    "chunks of a byte": (_CHUNKED, b"1\r\n \r\n" * 20_000),
    "a body in chunks": (_CHUNKED, b"10000\r\n%b\r\n" % (b" " * 65536)),
    "a body over the limit": (_POST + b"content-length: 10000000000\r\n\r\n", b" " * 65536),
    "a body that nobody reads": (
        b"POST /none HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000000\r\n\r\n",
        b" " * 65536,
    ),
    "a body that stops": (_POST + b"content-length: 4000\r\n\r\n ", b""),
    "a head that stops": (_POST, b""),
    "tiny fields": (_POST, b"a: b\r\n" * 10_000),
    "tiny trailers": (_CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000),
    "empty lines": (b"", b"\r\n" * 50_000),
}


class Greedy:
    """One connection after another."""

    def __init__(self, port: int, start: bytes, piece: bytes) -> None:
        self._address, self._start, self._piece = ("127.0.0.1", port), start, piece

    def connect(self) -> socket.socket:
        self._left = memoryview(self._start)
        connection = socket.create_connection(self._address, timeout=30)
        connection.setblocking(False)
        return connection

    def send(self, connection: socket.socket) -> bool:
        """Whether there is more to send. Raises OSError where the server has closed."""
        if not self._left and not self._piece and connection.recv(65536) == b"":
            raise ConnectionResetError
        with suppress(BlockingIOError):
            while self._left or self._piece:
                self._left = self._left or memoryview(self._piece)
                self._left = self._left[connection.send(self._left) :]
        return bool(self._left or self._piece)


def main(port: int, kind: str, connections: int) -> None:
    selector = selectors.DefaultSelector()

    def connect(greedy: Greedy) -> None:
        with suppress(OSError):
            selector.register(greedy.connect(), selectors.EVENT_WRITE, greedy)

    for _ in range(connections):
        connect(Greedy(port, *KINDS[kind]))
    print("begun", flush=True)
    for _ in count():
        for key, _ in selector.select(1):
            connection, greedy = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            try:
                if not greedy.send(connection):
                    selector.modify(connection, selectors.EVENT_READ, greedy)  # until it is closed
            except OSError:
                selector.unregister(connection)
                connection.close()
                connect(greedy)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
