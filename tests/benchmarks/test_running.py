import os
import sys

import pytest

from benchmarks.server.running import ServerFailed, free_port, running

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    count = 0

    def do_POST(self):
        Answer.count += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503 if Answer.count <= 3 else 200)
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def test_a_server_is_waited_for_measured_and_stopped(tmp_path):
    port = free_port()
    with running([sys.executable, "-c", SERVER, str(port)], dict(os.environ), port, tmp_path) as server:
        assert server.ready_seconds > 0
        assert server.answers() == 200
        assert server.memory_mb() > 1
        assert server.cpu_seconds() > 0
        processes = server.tree()
    assert processes
    assert not any(process.is_running() for process in processes)
    assert server.answers() is None


def test_a_server_that_ends_by_itself_is_reported_with_its_log(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such setting')"]
    with (
        pytest.raises(ServerFailed, match="no such setting"),
        running(command, dict(os.environ), free_port(), tmp_path),
    ):
        pass
