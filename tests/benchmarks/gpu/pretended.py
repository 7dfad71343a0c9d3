"""A GPU that is the CPU: its driver, and ONNX Runtime that says CUDA."""

from typing import Any

import onnxruntime as ort

from service.generator.engines.cuda import PROVIDER


class FakeCard:
    """Takes 100 joules between two looks."""

    def __init__(self) -> None:
        self.looks = 0

    def facts(self) -> dict[str, Any]:
        return {"name": "pretended", "driver": "0"}

    def used_mib(self) -> int:
        return 1000

    def joules(self) -> float:
        self.looks += 1
        return 100.0 * self.looks


class SaysCuda(ort.InferenceSession):
    def __init__(self, file, options, providers):
        super().__init__(file, options, providers=["CPUExecutionProvider"])

    def get_providers(self):
        return [PROVIDER, "CPUExecutionProvider"]


class FallsBack(SaysCuda):
    """As ONNX Runtime does where a CUDA library is missing: without a word."""

    def get_providers(self):
        return ["CPUExecutionProvider"]


class Refuses:
    def __init__(self, *_args, **_kwargs):
        raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version")


def pretend(monkeypatch, session) -> None:
    real = ort.OrtValue.ortvalue_from_shape_and_type
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    monkeypatch.setattr(ort, "InferenceSession", session)
    monkeypatch.setattr(
        ort.OrtValue, "ortvalue_from_shape_and_type", lambda shape, dtype, *_device: real(shape, dtype)
    )
