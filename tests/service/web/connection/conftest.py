import contextlib
from typing import Any

import pytest

from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import Gated, served


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    """The tiny generator with small limits; replies by ASGI are counted in `by_asgi`."""
    files = {"tiny": Tiny().file(), "bare": Tiny(classes=None).file()}
    limits = {"max_body_bytes": 4096, "max_images_per_request": 64, "timeout_seconds": 20}
    settings: dict[str, Any] = limits | {"engine": "onnxruntime"}
    with (
        loaded(tmp_path_factory.mktemp("models"), files, **settings) as models,
        served(models) as one,
    ):
        yield one


@pytest.fixture
def gated(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Gated:
            return Gated(tmp_path / "models", stack, **settings)

        yield start
