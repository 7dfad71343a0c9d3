"""NVIDIA's own Python client for Triton, unmodified, against a real server."""

import asyncio
import io
import json

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from service.generator.latents import latents


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=64) as client:
        yield client


def inputs(*, in_binary: bool = True, **tensors) -> list[triton.InferInput]:
    made = []
    for name, values in tensors.items():
        array = np.asarray(values, np.float32 if name == "z" else np.int64)
        made.append(triton.InferInput(name, list(array.shape), "FP32" if name == "z" else "INT64"))
        made[-1].set_data_from_numpy(array, binary_data=in_binary)
    return made


def samples(server, **fields) -> np.ndarray:
    """What /v1/samples gives, as NCHW."""
    response = server.samples(format="npy", **fields)
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False).transpose(0, 3, 1, 2)


def test_the_client_sees_the_server_and_its_models(server, client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata()["name"] == "ganserve"
    metadata = client.get_model_metadata("tiny")
    assert [one["name"] for one in metadata["inputs"]] == ["z", "seed", "label"]
    assert metadata["outputs"][0]["shape"] == [-1, 1, 8, 8]
    (version,) = metadata["versions"]
    assert client.is_model_ready("tiny", version)
    assert client.get_model_metadata("tiny", version) == metadata
    config = client.get_model_config("tiny", version)
    assert (config["name"], config["max_batch_size"]) == ("tiny", 256)
    index = {one["name"]: one for one in client.get_model_repository_index()}
    assert (index["tiny"]["state"], index["tiny"]["version"]) == ("READY", version)
    assert set(index) == set(json.loads(server.get("/readyz").text)["models"])


@pytest.mark.parametrize("out_binary", [True, False])
@pytest.mark.parametrize("in_binary", [True, False])
def test_images_are_those_of_samples(server, client, in_binary, out_binary):
    result = client.infer(
        "colour",
        inputs(seed=[5, 6, 7, 8], label=[7, 7, 7, 7], in_binary=in_binary),
        outputs=[triton.InferRequestedOutput("image", binary_data=out_binary)],
        request_id="request 1",
        parameters={"truncation": 0.5},
    )
    assert result.get_response()["id"] == "request 1"
    images = result.as_numpy("image")
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(
        images, samples(server, model="colour", seed=5, n=4, label=7, truncation=0.5)
    )


def test_z_and_no_named_output_give_the_images_of_the_seeds(server, client):
    (version,) = client.get_model_metadata("bare")["versions"]
    result = client.infer("bare", inputs(z=latents([3, 4], 8)), model_version=version)
    np.testing.assert_array_equal(result.as_numpy("image"), samples(server, model="bare", seed=3, n=2))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_travel_compressed(server, client, coding):
    result = client.infer(
        "tiny",
        inputs(seed=range(20)),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    np.testing.assert_array_equal(result.as_numpy("image"), samples(server, seed=0, n=20))


def test_64_at_once_get_the_images_of_samples_and_share_forward_passes(server, client):
    (before,) = client.get_inference_statistics("tiny")["model_stats"]
    waiting = [client.async_infer("tiny", inputs(seed=[seed, 1000 + seed])) for seed in range(64)]
    images = np.stack([one.get_result().as_numpy("image") for one in waiting])
    (after,) = client.get_inference_statistics("tiny")["model_stats"]
    np.testing.assert_array_equal(images[:, 0], samples(server, seed=0, n=64))
    np.testing.assert_array_equal(images[:, 1], samples(server, seed=1000, n=64))
    assert after["inference_count"] - before["inference_count"] == 128
    assert 1 <= after["execution_count"] - before["execution_count"] <= 64
    success = [one["inference_stats"]["success"]["count"] for one in (before, after)]
    assert success[1] - success[0] == 64
    everything = client.get_inference_statistics()["model_stats"]
    assert {"tiny", "colour", "bare"} <= {one["name"] for one in everything}


def test_mistakes_come_as_the_clients_own_exception(server, client):
    def says(status: str, *arguments, **options) -> str:
        with pytest.raises(InferenceServerException) as refused:
            client.infer(*arguments, **options)
        assert refused.value.status() == status
        return refused.value.message()

    assert "0 to 9" in says("400", "tiny", inputs(seed=[1], label=[10]))
    assert "allowed is [n, 8]" in says("400", "tiny", inputs(z=np.zeros((1, 9))))
    assert "not finite" in says("400", "tiny", inputs(z=np.full((1, 8), np.nan)))
    assert "allowed are z or seed" in says("400", "bare", inputs(seed=[1], label=[1]))
    assert "1 to 256" in says("400", "tiny", inputs(seed=range(257)))
    assert "allowed is image" in says(
        "400", "tiny", inputs(seed=[1]), outputs=[triton.InferRequestedOutput("x")]
    )
    assert "There is no model" in says("404", "none", inputs(seed=[1]))
    assert "deadline" in says("504", "slow", inputs(seed=[1]), timeout=1)
    for change in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="Orders need an API key") as refused:
            change("tiny")
        assert refused.value.status() == "403"
        with pytest.raises(InferenceServerException, match="when it starts") as refused:
            change("tiny", headers=server.token)
        assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="There is no /v2/logging"):
        client.get_log_settings()


def test_the_asyncio_client_works_too(server):
    async def play() -> np.ndarray:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert await client.is_server_ready()
            assert await client.get_model_repository_index()
            with pytest.raises(InferenceServerException, match="when it starts"):
                await client.load_model("tiny", headers=server.token)
            images = (await client.infer("tiny", inputs(seed=[9]))).as_numpy("image")
            assert images is not None
            return images

    np.testing.assert_array_equal(asyncio.run(play()), samples(server, seed=9))
