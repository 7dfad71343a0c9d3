"""NVIDIA's gRPC client for Triton, its streaming included, and gRPC's health client, unmodified, against a real server."""

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.system.clients.test_triton import samples
from tests.system.serving import Server, free_port, serving
from tests.waiting import wait_until

KEY = "client-key-0123456789abcdef"


@pytest.fixture(scope="module")
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def spoken_to(address, all_models, tmp_path_factory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("grpc") / "home"
    with serving(
        home,
        models=all_models,
        default_model="tiny",
        engine="onnxruntime",
        grpc_port=address.split(":")[1],
        max_images_per_request=64,
    ) as one:
        yield one


@pytest.fixture
def client(spoken_to, address):
    with triton.InferenceServerClient(address) as client:
        yield client


def inputs(**tensors) -> list[triton.InferInput]:
    made = []
    for name, values in tensors.items():
        array = np.asarray(values, np.float32 if name == "z" else np.int64)
        made.append(triton.InferInput(name, list(array.shape), "FP32" if name == "z" else "INT64"))
        made[-1].set_data_from_numpy(array)
    return made


def test_the_client_sees_the_server_and_its_models(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.get_server_metadata().name == "ganserve"
    metadata = client.get_model_metadata("tiny")
    assert [one.name for one in metadata.inputs] == ["z", "seed", "label"]
    assert list(metadata.outputs[0].shape) == [-1, 1, 8, 8]
    config = client.get_model_config("tiny", metadata.versions[0]).config
    assert (config.name, config.max_batch_size, config.output[0].data_type) == ("tiny", 64, 2)
    assert {one.name for one in client.get_model_repository_index().models} >= {"tiny", "colour", "bare"}
    with pytest.raises(InferenceServerException, match="API key"):
        client.unload_model("tiny")


def test_images_are_those_of_samples(spoken_to, client):
    result = client.infer(
        "colour",
        inputs(seed=[[5], [6]], label=[[7], [7]]),
        request_id="request 1",
        parameters={"truncation": 0.5},
    )
    found = result.as_numpy("image")
    assert found is not None
    np.testing.assert_array_equal(
        found, samples(spoken_to, model="colour", label=7, n=2, seed=5, truncation=0.5)
    )
    assert result.get_response().id == "request 1"
    before = client.get_inference_statistics("colour").model_stats[0].inference_stats.success.count
    assert before >= 1


def test_a_stream_answers_in_order_and_says_what_is_wrong_with_one(spoken_to, client):
    answers: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for seed in range(40):
        client.async_stream_infer("tiny", inputs(seed=[seed]), request_id=f"{seed}")
    client.async_stream_infer("tiny", inputs(seed=[-1]), request_id="wrong")
    client.async_stream_infer("tiny", inputs(seed=[41]), request_id="last", enable_empty_final_response=True)
    found = [answers.get(timeout=20) for _ in range(42)]
    client.stop_stream()
    assert [result.get_response().id for result, error in found[:40]] == [f"{seed}" for seed in range(40)]
    every = np.concatenate([result.as_numpy("image") for result, _ in found[:40]])
    np.testing.assert_array_equal(
        every[[0, 20, 39]], np.concatenate([samples(spoken_to, seed=seed) for seed in (0, 20, 39)])
    )
    assert "allowed are 0 to" in str(found[40][1])
    assert found[41][0].get_response().parameters["triton_final_response"].bool_param


def test_requests_of_a_stream_share_forward_passes(spoken_to, client):
    answers: queue.Queue = queue.Queue()

    def shared() -> bool:
        before = spoken_to.metric("ganserve_forward_passes_total", model="slow")
        client.start_stream(lambda result, error: answers.put(error))
        for seed in range(16):
            client.async_stream_infer("slow", inputs(seed=[seed]))
        assert [answers.get(timeout=20) for _ in range(16)] == [None] * 16
        client.stop_stream()
        return spoken_to.metric("ganserve_forward_passes_total", model="slow") - before < 16

    wait_until(shared)  # a pass may be quicker than what the client sends


@pytest.mark.parametrize(
    ("model", "tensors", "options", "status", "says"),
    [
        ("none", {"seed": [1]}, {}, "NOT_FOUND", "there are: "),
        ("tiny", {"seed": [-1]}, {}, "INVALID_ARGUMENT", "allowed are 0 to"),
        ("tiny", {"seed": [1] * 65}, {}, "INVALID_ARGUMENT", "allowed are 1 to 64"),
        ("tiny", {"noise": [1]}, {}, "INVALID_ARGUMENT", "no input 'noise'"),
        ("tiny", {"seed": [1]}, {"parameters": {"truncatoin": 0.5}}, "INVALID_ARGUMENT", "truncation"),
        ("slow", {"seed": [1]}, {"timeout": 1}, "DEADLINE_EXCEEDED", "deadline"),
        ("tiny", {"z": np.zeros((2**19, 8))}, {}, "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_status(client, model, tensors, options, status, says):
    with pytest.raises(InferenceServerException, match=f"(?i){says}") as refused:
        client.infer(model, inputs(**tensors), **options)
    assert refused.value.status() == f"StatusCode.{status}"


def test_health_is_that_of_the_service_and_of_models(spoken_to, address):
    with grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService", "tiny"):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="none"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND  # pyright: ignore[reportAttributeAccessIssue]
        assert next(iter(health.Watch(health_pb2.HealthCheckRequest()))).status == 1


def test_calls_are_counted_by_method_and_outcome(spoken_to, client):
    route = "/inference.GRPCInferenceService/ModelInfer"
    before = [spoken_to.metric("ganserve_requests_total", route=route, code=code) for code in ("200", "404")]
    client.infer("tiny", inputs(seed=[1]))
    with pytest.raises(InferenceServerException):
        client.infer("none", inputs(seed=[1]))
    after = [spoken_to.metric("ganserve_requests_total", route=route, code=code) for code in ("200", "404")]
    assert after == [before[0] + 1, before[1] + 1]


def test_keys_hold_and_a_server_that_ends_answers_what_it_accepted(small_models, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    port = address.split(":")[1]
    with (
        serving(
            tmp_path / "home",
            models=small_models,
            engine="fake",
            grpc_port=port,
            api_keys=f"shop:{KEY}",
            drain_seconds=3,  # in which one more has to be asked, on a machine that does much else, too
        ) as server,
        triton.InferenceServerClient(address) as client,
    ):
        with pytest.raises(InferenceServerException, match="API key") as refused:
            client.infer("tiny", inputs(seed=[1]))
        assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        assert client.is_server_ready()
        client.infer("tiny", inputs(seed=[1]), headers={"authorization": f"Bearer {KEY}"})
        client.infer("tiny", inputs(seed=[1]), headers={"x-api-key": KEY})
        server.process.terminate()
        wait_until(lambda: not client.is_server_ready())
        client.infer("tiny", inputs(seed=[1]), headers={"x-api-key": KEY})
        server.process.wait(30)
