"""NVIDIA's clients for Triton, unmodified, asking a real server for what comes beside the picture, over HTTP and gRPC."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from service.generator.latents import latents
from tests import generators
from tests.generators.telling import FULL
from tests.system.serving import free_port, serving


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """URLs by client."""
    home, grpc_port = tmp_path_factory.mktemp("telling"), free_port()
    models = generators.folder(home / "models", {"telling": FULL.file()})
    with serving(home / "home", models=models, grpc_port=f"{grpc_port}") as one:
        yield {
            tritonclient.http: f"127.0.0.1:{one.port}",
            tritonclient.grpc: f"127.0.0.1:{grpc_port}",
        }


def inferred(kind: ModuleType, client: Any, *names: str, **options: Any) -> Any:
    inputs = [kind.InferInput(name, [2], "INT64") for name in ("seed", "label")]
    for tensor, values in zip(inputs, ([3, 9], [2, 0]), strict=True):
        tensor.set_data_from_numpy(np.array(values))
    outputs = [kind.InferRequestedOutput(name, **options) for name in names]
    return client.infer("telling", inputs, outputs=outputs or None)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (tritonclient.http, {"binary_data": True}),
        (tritonclient.http, {"binary_data": False}),
        (tritonclient.grpc, {}),
    ],
    ids=["http", "json", "grpc"],
)
def test_tritons_clients_get_what_they_name(telling, kind, options):
    z, label = latents([3, 9], 8), np.array([2, 0])
    want = FULL.beside(z, label)
    with kind.InferenceServerClient(telling[kind]) as client:
        got = inferred(kind, client, "logits", "image", "style", **options)
        np.testing.assert_allclose(got.as_numpy("logits"), want["logits"], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(got.as_numpy("style"), want["style"], rtol=1e-4, atol=1e-4)
        assert np.abs(got.as_numpy("image").astype(int) - FULL.tiny.forward(z, label)).max() <= 1
        alone = inferred(kind, client)
        np.testing.assert_array_equal(alone.as_numpy("image"), got.as_numpy("image"))
        assert alone.as_numpy("logits") is None
        with pytest.raises(Exception, match="no output 'w'; allowed is image or style or logits"):
            inferred(kind, client, "w")
