"""Starting, draining, dying."""

import signal
import subprocess
import threading
from typing import Any

import httpx
import pytest

from tests.system.serving import Server, command, environment, events, free_port, serving
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"engine": "tensorflow"},
            "GANSERVE_ENGINE is 'tensorflow': allowed are auto, onnxruntime, openvino, fake.",
        ),
        ({"max_batch": "-1"}, "GANSERVE_MAX_BATCH is -1: it must be a whole number from 0 to 4096."),
        ({"api_keys_file": "/nowhere"}, "GANSERVE_API_KEYS_FILE: /nowhere: No such file or directory."),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(tmp_path, settings, says):
    ended = subprocess.run(
        command(free_port()), env=environment(tmp_path, settings), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    (line,) = events(ended.stderr)
    assert (line["event"], line["message"]) == ("refused_to_start", says)
    assert "Traceback" not in ended.stderr


class Visitor(threading.Thread):
    """A client that asks one image after the other, on new connections, until it is told to stop."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server, self.replies, self.stop_asking = server, list[Any](), threading.Event()

    def run(self) -> None:
        while not self.stop_asking.is_set():
            try:
                self.replies.append(self.server.samples(seed=len(self.replies)).status_code)
            except httpx.TransportError as error:
                self.replies.append(error)


def test_sigterm_turns_readiness_off_and_answers_through_the_grace_period_even_when_sent_twice(
    small_models, tmp_path
):
    with serving(tmp_path / "home", models=small_models, engine="fake", drain_seconds=4) as server:
        visitor = Visitor(server)
        visitor.start()
        try:
            wait_until(lambda: visitor.replies)
            for worker in server.workers():
                worker.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: server.answers("/readyz", 503))
            assert server.get("/readyz").json()["draining"] is True
            assert server.metric("ganserve_ready") == 0
            answered = len(visitor.replies)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: len(visitor.replies) > answered + 5)
        finally:
            visitor.stop_asking.set()
            visitor.join()
        assert set(visitor.replies) == {200}
        assert server.process.wait(30) == 0
        server.assert_gone()


def test_two_workers_share_one_page_of_metrics_and_die_with_their_parent(small_models, tmp_path):
    with serving(
        tmp_path / "home", models=small_models, default_model="tiny", engine="fake", workers=2
    ) as server:
        wait_until(lambda: server.metric("ganserve_ready") == 1)
        before = server.metric("ganserve_requests_total", route="/v1/samples")
        clients = [server.client() for _ in range(16)]
        replies = [
            client.post("/v1/samples", json={"seed": seed, "n": 2}) for seed, client in enumerate(clients)
        ]
        for client in clients:
            client.close()
        assert {reply.status_code for reply in replies} == {200}
        wait_until(lambda: server.metric("ganserve_requests_total", route="/v1/samples") == before + 16)
        assert server.metric("ganserve_images_total", model="tiny") == 32
        answering = {
            path.name for path in (server.folder / "metrics").glob("counter_*.db") if path.stat().st_size
        }
        assert len(answering) >= 2, "both workers count"
        said = [one["model"] for one in server.events if one["event"] == "model_ready"]
        assert sorted(said) == sorted(server.get("/readyz").json()["models"]), (
            "each model once, not once per worker"
        )
        server.process.kill()
        wait_until(lambda: not server.tree())
