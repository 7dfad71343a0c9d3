"""Pictures of 512x512x3 from a generator whose pass takes some 300 ms: who asks for little, or whether it lives, is answered."""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import contract
from service.generator.contract import Contract, ImageShape
from tests import generators
from tests.system.serving import Server, serving

SIDE, CHANNELS, LAYERS = 512, 16, 14
MOST_IMAGES = 32


def large() -> bytes:
    """Random weights: a linear layer, and convolutions at full size."""
    random = np.random.default_rng(0)
    tensors = {
        "linear": random.normal(size=(8, CHANNELS * 64)).astype(np.float32),
        "small": np.array([-1, CHANNELS, 8, 8]),
        "scales": np.array([1, 1, SIDE / 8, SIDE / 8], np.float32),
        "half": np.array(127.5, np.float32),
        "last": random.normal(size=(3, CHANNELS, 3, 3)).astype(np.float32) / 8,
    }
    nodes = [
        h.make_node("MatMul", ["z", "linear"], ["flat"]),
        h.make_node("Reshape", ["flat", "small"], ["maps"]),
        h.make_node("Resize", ["maps", "", "scales"], ["x0"], mode="linear"),
    ]
    for i in range(LAYERS):
        tensors[f"w{i}"] = random.normal(size=(CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / 8
        nodes.append(h.make_node("Conv", [f"x{i}", f"w{i}"], [f"y{i}"], pads=[1, 1, 1, 1]))
        nodes.append(h.make_node("Tanh" if i == LAYERS - 1 else "Relu", [f"y{i}"], [f"x{i + 1}"]))
    nodes += [
        h.make_node("Conv", [f"x{LAYERS}", "last"], ["pixels"], pads=[1, 1, 1, 1]),
        h.make_node("Tanh", ["pixels"], ["levels"]),
        h.make_node("Mul", ["levels", "half"], ["scaled"]),
        h.make_node("Add", ["scaled", "half"], ["shifted"]),
        h.make_node("Cast", ["shifted"], ["image"], to=T.UINT8),
    ]
    graph = h.make_graph(
        nodes,
        "large",
        [h.make_tensor_value_info("z", T.FLOAT, ["N", 8])],
        [h.make_tensor_value_info("image", T.UINT8, ["N", 3, SIDE, SIDE])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model: onnx.ModelProto = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=10)
    return contract.write(model, Contract(1, "large", 8, None, ImageShape(3, SIDE, SIDE)))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = generators.folder(tmp_path_factory.mktemp("models"), {"large": large()})
    home = tmp_path_factory.mktemp("server") / "home"
    with serving(
        home, models=models, engine="onnxruntime", threads=1, max_batch=1, max_wait_seconds=30
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
