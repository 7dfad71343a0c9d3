import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from benchmarks.comparison import load
from benchmarks.comparison.load import WrkFailed
from benchmarks.comparison.workloads import Workload
from tests.needs import needs

OUTPUT = """\
Running 3s test @ http://127.0.0.1:3000
  1 threads and 64 connections
  Latency Distribution
     50%   38.02ms
RESULT {"requests": 5120, "seconds": 3.001, "p50_ms": 38.020, "p99_ms": 51.700, "refused": 3, "lost": 2}
"""


def test_the_result_is_found_among_what_wrk_prints():
    found = load.parse(OUTPUT)
    assert (found.requests, found.seconds, found.p50_ms, found.p99_ms) == (5120, 3.001, 38.02, 51.7)
    assert (found.refused, found.lost) == (3, 2)


def test_output_without_a_result_is_an_error_that_shows_it():
    with pytest.raises(WrkFailed, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:3000")


def test_without_wrk_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WrkFailed, match="apt-get install wrk"):
        load.require_wrk()


def test_wrk_asks_for_every_size_and_counts_refusals():
    needs(shutil.which("wrk"), "wrk")
    sizes, formats = [], set()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            fields = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
            assert self.path == "/v1/samples"
            assert 0 <= fields["label"] <= 9
            sizes.append(fields["n"])
            formats.add(fields["format"])
            self.send_response(503 if len(sizes) % 10 == 0 else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = load.run(f"http://127.0.0.1:{server.server_port}", Workload(0, "npy", 1), 1)
        server.shutdown()
    assert formats == {"npy"}
    assert sorted(sizes[:100]) == list(range(1, 101))
    assert found.requests >= 100
    assert found.refused == pytest.approx(found.requests / 10, abs=1)
    assert found.lost == 0
    assert 0 < found.p50_ms <= found.p99_ms
