"""The GPU as its driver shows it: NVML, by ctypes, since a GPU machine need not have pynvml or nvidia-smi."""

import ctypes
import os
from typing import Any

_LIBRARY = "libnvidia-ml.so.1"


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class NoCard(Exception):
    """There is no NVIDIA GPU, or its driver does not show it; the text says which."""


class Card:
    """The GPU that CUDA calls 0. What the driver does not tell, as of a MIG part, is None."""

    def __init__(self) -> None:
        """Raises NoCard."""
        try:
            self._nvml = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise NoCard(f"no NVIDIA driver: {error}") from None
        if code := self._nvml.nvmlInit_v2():
            raise NoCard(f"the NVIDIA driver does not answer (nvmlInit: {code})")
        # As NVML counts, or card 0 of one would not be card 0 of the other.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
        self._handle = ctypes.c_void_p()
        handle = ctypes.byref(self._handle)
        if first.startswith(("GPU-", "MIG-")):
            code = self._nvml.nvmlDeviceGetHandleByUUID(first.encode(), handle)
        elif first.isdigit():
            code = self._nvml.nvmlDeviceGetHandleByIndex_v2(int(first), handle)
        else:
            raise NoCard(
                f"CUDA_VISIBLE_DEVICES is '{os.environ['CUDA_VISIBLE_DEVICES']}', which hides every GPU"
            )
        if code:
            raise NoCard(f"the NVIDIA driver shows no GPU {first} (NVML: {code})")

    def facts(self) -> dict[str, Any]:
        """Name, driver, the newest CUDA that it runs, memory, power and clocks."""
        memory, power = self._memory(), self._number("nvmlDeviceGetEnforcedPowerLimit")
        cuda = ctypes.c_int()
        known = not self._nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda))
        return {
            "name": self._text("nvmlDeviceGetName", self._handle),
            "driver": self._text("nvmlSystemGetDriverVersion"),
            "driver_cuda": f"{cuda.value // 1000}.{cuda.value % 1000 // 10}" if known else None,
            "memory_mib": memory and memory.total >> 20,
            "memory_used_mib": memory and memory.used >> 20,
            "power_limit_watts": power and power / 1000,
            "temperature_celsius": self._number("nvmlDeviceGetTemperature", 0),
        }

    def used_mib(self) -> int | None:
        """Of its memory, by every process."""
        memory = self._memory()
        return memory and memory.used >> 20

    def joules(self) -> float | None:
        """What it has taken since its driver was loaded."""
        energy = ctypes.c_ulonglong()
        code = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(energy))
        return None if code else energy.value / 1000

    def _memory(self) -> _Memory | None:
        memory = _Memory()
        return None if self._nvml.nvmlDeviceGetMemoryInfo(self._handle, ctypes.byref(memory)) else memory

    def _number(self, function: str, *arguments: int) -> int | None:
        value = ctypes.c_uint()
        code = getattr(self._nvml, function)(self._handle, *arguments, ctypes.byref(value))
        return None if code else value.value

    def _text(self, function: str, *arguments: Any) -> str | None:
        text = ctypes.create_string_buffer(96)
        return None if getattr(self._nvml, function)(*arguments, text, 96) else text.value.decode()
