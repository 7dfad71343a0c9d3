"""Generators for passes with bound buffers, the engine that is chosen for one, and GPUs that are the CPU."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from service.generator.engines import cuda, race
from service.generator.engines.choose import choose
from service.generator.latents import latents
from service.settings import Settings
from tests.generators import Tiny

GENERATORS = {
    "grey": Tiny(),
    "rgb": Tiny(image=(3, 16, 16), z_dim=64),
    "unconditional": Tiny(classes=None),
}


def inputs(kind, count) -> tuple[np.ndarray, Any]:
    tiny = GENERATORS[kind]
    label = None if tiny.classes is None else np.arange(count) * 7 % len(tiny.classes)
    return latents(range(count), tiny.z_dim), label


def chosen(worker=0, **settings):
    tiny = GENERATORS["rgb"]
    return choose(tiny.file(), tiny.contract(), Settings(**settings), worker=worker).engine


def pretend_gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two GPUs that are the CPU, of which nothing is remembered. Returns what will be asked of ONNX Runtime, in order."""
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

    monkeypatch.setattr(race, "_folder", lambda: None)
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "_MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(ort, "preload_dlls", lambda: asked.append("preload_dlls"))
    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_shape_and_type", on_cpu)
    return asked
