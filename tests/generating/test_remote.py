"""`ganserve generate --url`: the same set, drawn by a server, whatever breaks the stream off."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest

from ganserve.client import Client
from tests.generating.written import run
from tests.system.serving import serving


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    home = tmp_path_factory.mktemp("server") / "home"
    with serving(home, models=models, default_model="tiny", engine="onnxruntime") as one:
        yield one


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return dict(found)


@pytest.mark.parametrize("words", [(), ("--label", "Bag", "--label", "Dress", "--truncation", 0.5)])
def test_a_server_gives_the_same_set_as_the_engine(server, models, tmp_path, words):
    run("--model", models / "tiny", *words, "--n", 300, "--seed", 5, "--out", tmp_path / "here.npz")
    facts = run(
        "--url", server.url, *words, "--n", 300, "--seed", 5, "--out", tmp_path / "there.npz", "--json"
    )
    assert json.loads(facts.output)["drawn"] == 300
    here, there = arrays(tmp_path / "here.npz"), arrays(tmp_path / "there.npz")
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)


class Flaky(ThreadingHTTPServer):
    """Between client and server: lets a few lines of each stream through, then breaks it off or ends it."""

    def __init__(self, url: str) -> None:
        flaky = self
        self.streams = 0

        class Between(BaseHTTPRequestHandler):
            def do_GET(self):
                with Client(url) as client:
                    answer = client.server.ask("GET", self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.content)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                flaky.streams += 1
                lines = httpx.post(f"{url}{self.path}", content=body, trust_env=False).text.splitlines()
                some = lines[:40] if len(lines) > 41 else lines
                text = "\n".join(some) + "\n"
                if flaky.streams % 2:
                    text += lines[-1][: len(lines[-1]) // 2]  # in the middle of a line
                self.send_response(200)
                self.send_header("content-length", str(len(text) + (flaky.streams % 2)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Between)


def test_a_stream_that_breaks_off_goes_on_from_its_next_seed(server, models, tmp_path, monkeypatch):
    monkeypatch.setattr("ganserve.generating.remote._PAUSE_SECONDS", 0.01)
    with Flaky(server.url) as flaky:
        threading.Thread(target=flaky.serve_forever, daemon=True).start()
        run("--url", f"http://127.0.0.1:{flaky.server_port}", "--n", 100, "--out", tmp_path / "there.npz")
        flaky.shutdown()
    assert flaky.streams >= 3
    run("--model", models / "tiny", "--n", 100, "--out", tmp_path / "here.npz")
    here, there = arrays(tmp_path / "here.npz"), arrays(tmp_path / "there.npz")
    assert all(np.array_equal(here[name], there[name]) for name in here)


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    said = run("--url", "http://127.0.0.1:9", "--n", 1, "--out", tmp_path / "a", code=1).output
    assert "can't be reached" in said
