import onnxruntime as ort
import pytest

from service.generator.engines import cuda


@pytest.fixture
def pretended(monkeypatch):
    """Two GPUs that are the CPU: what was asked of ONNX Runtime, in order."""
    asked = []
    real = ort.OrtValue.ortvalue_from_shape_and_type

    class Session(ort.InferenceSession):
        def __init__(self, file, options, providers):
            asked.append(providers)
            super().__init__(file, options, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return [cuda.PROVIDER, "CPUExecutionProvider"]

    def on_cpu(shape, dtype, device, index):
        asked.append((device, index))
        return real(shape, dtype)

    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "_MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(ort, "preload_dlls", lambda: asked.append("preload_dlls"))
    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_shape_and_type", on_cpu)
    return asked
