"""Pictures of 512x512x3 from a generator whose pass takes some 300 ms: who asks for little, or whether it lives, is answered."""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import models
from tests import generators
from tests.system.serving import Server, serving

LAYERS = 14
MOST_IMAGES = 32


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = generators.folder(tmp_path_factory.mktemp("models"), {"large": models.slow(LAYERS)})
    home = tmp_path_factory.mktemp("server") / "home"
    with serving(
        home, models=folder, engine="onnxruntime", threads=1, max_batch=1, max_wait_seconds=30
    ) as one:
        yield one


def pass_seconds(server: Server) -> float:
    name = "ganserve_forward_seconds"
    return server.metric(f"{name}_sum") / server.metric(f"{name}_count")


def test_livez_answers_while_pictures_of_every_format_are_drawn_and_encoded(server):
    formats = ["png", "webp", "jpeg", "avif", "npy", "json"]
    asked = threading.Event()
    took: list[float] = []

    def poll() -> None:
        with server.client() as client:
            while not asked.is_set():
                begun = time.monotonic()
                assert client.get("/livez").status_code == 200
                took.append(time.monotonic() - begun)
                asked.wait(0.02)

    with ThreadPoolExecutor(8) as threads:
        polling = threads.submit(poll)
        replies = list(threads.map(lambda one: server.samples(n=2, seed=3, format=one), formats))
        asked.set()
        polling.result()
    assert [reply.status_code for reply in replies] == [200] * len(formats)
    assert pass_seconds(server) > 0.05, "a slow generator"
    assert len(took) > 10
    assert statistics.median(took) < 0.05
    assert max(took) < max(0.5, 2 * pass_seconds(server))


def test_a_single_picture_does_not_wait_for_a_request_of_many(server):
    done: list[int] = []

    def ask(n: int) -> None:
        assert server.samples(n=n, seed=1, format="npy", timeout=30).status_code == 200
        done.append(n)

    before = server.metric("ganserve_forward_passes_total")
    many = threading.Thread(target=ask, args=(12,))
    many.start()
    while server.metric("ganserve_forward_passes_total") == before:
        many.join(0.02)
    ask(1)
    many.join()
    assert done == [1, 12]


def test_a_deadline_holds_beside_passes_that_are_long(server):
    begun = time.monotonic()
    response = server.samples(n=MOST_IMAGES, seed=1, format="webp", timeout=0.6)
    assert (response.status_code, response.json()["code"]) in ((504, "deadline_passed"), (429, "queue_full"))
    assert time.monotonic() - begun < 0.6 + max(1.0, 3 * pass_seconds(server))
    assert server.samples(n=1, seed=1).status_code == 200


def test_limits_count_the_pixels_of_a_request(server):
    assert server.get("/v1/models/large").json()["max_images"] == MOST_IMAGES
    refused = server.samples(n=MOST_IMAGES + 1)
    assert (refused.status_code, refused.json()["field"]) == (422, "n")
    assert f"1 to {MOST_IMAGES}" in refused.json()["detail"]
