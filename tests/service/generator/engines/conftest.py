import pytest

from tests.service.generator.engines.bound import pretend_gpus


@pytest.fixture
def pretended(monkeypatch):
    """Two GPUs that are the CPU: what was asked of ONNX Runtime, in order."""
    return pretend_gpus(monkeypatch)
