"""What the clients of `python -m benchmarks.faults` call refused, wrong and lost."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.faults import Load
from tests.waiting import wait_until


class Answering(BaseHTTPRequestHandler):
    """As the test says at the moment; `drop` is none at all."""

    protocol_version = "HTTP/1.1"
    way = "right"

    def do_POST(self) -> None:
        seed = json.loads(self.rfile.read(int(self.headers["content-length"])))["seed"]
        if Answering.way == "drop":
            self.close_connection = True
            return
        status = int(Answering.way) if Answering.way.isdigit() else 503 if "busy" in Answering.way else 200
        body = b"%d" % (seed + (Answering.way == "wrong"))
        if status == 503:
            body = b'{"status":503,"code":"no_replica"}'
        self.send_response(status)
        if Answering.way == "busy":
            self.send_header("retry-after", "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def load() -> Iterator[Load]:
    Answering.way = "right"
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Load(server.server_port)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("way", "counted"),
    [
        ("right", {"answered"}),
        ("wrong", {"answered", "wrong"}),
        ("busy", {"refused"}),
        ("429", {"refused"}),
        ("busy, and not for how long", {"lost"}),
        ("500", {"lost"}),
        ("drop", {"lost"}),
    ],
)
def test_every_answer_counts_as_what_a_client_would_call_it(load, way, counted):
    Answering.way = way
    with load.running() as seen:
        wait_until(lambda: seen.sent > 50)
    counts = {
        "answered": seen.answered,
        "refused": seen.refused.total(),
        "wrong": seen.wrong,
        "lost": len(seen.lost),
    }
    assert (
        set(seen.refused) == {{"busy": "503 no_replica", "429": "429"}[way]}
        if "refused" in counted
        else not seen.refused
    )
    assert counts == {name: seen.sent if name in counted else 0 for name in counts}
