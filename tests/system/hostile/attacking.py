"""A server that is attacked, and what must be true of its answers."""

import contextlib
import socket

import httpx
import psutil

JSON_ROUTES = (
    *("/v1/samples", "/v1/interpolations", "/v1/arithmetic", "/v1/inversions", "/v1/images/generations"),
    *("/sample", "/v1/classifications"),
)
INFER = "/v2/models/tiny/infer"
MOST_REPLY_BYTES = 4000
MOST_GROWTH_BYTES = 200 * 2**20


def memory(processes: set[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


def refused(reply: httpx.Response, *statuses: int) -> httpx.Response:
    """It is one of these refusals, and short, whatever came."""
    assert reply.status_code in (statuses or range(400, 500)), (reply.status_code, reply.text[:300])
    assert len(reply.content) < MOST_REPLY_BYTES
    assert "Traceback" not in reply.text
    return reply


def said(port: int, request: bytes, patience_seconds: float = 20) -> bytes:
    """All that the server answers until it closes the connection; after so long without a word the client does."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        contextlib.suppress(OSError),
    ):
        connection.sendall(request)
        connection.settimeout(patience_seconds)
        while chunk := connection.recv(65536):
            answer += chunk
    return answer
