"""What models and workers take in memory, and whether there is that much. Imports no engine."""

from pathlib import Path

from service.machine.hardware import memory_limit_bytes
from service.settings import Settings

_TIMES_THE_FILE = 3
_MB_OF_A_SESSION = 10
_MB_OF_THE_PARENT = 85
_MB_OF_A_WORKER = 115
_MB_OF_OPENVINO = 40  # its libraries, beside those of ONNX Runtime


def memory_mb(file_bytes: int) -> float:
    """What a model takes once loaded, by the larger of both CPU engines: `python -m benchmarks.many_models`.

    Reckoned and not measured, so that every replica leaves the same models idle.
    """
    return _TIMES_THE_FILE * file_bytes / 1e6 + _MB_OF_A_SESSION


def least_mb(settings: Settings) -> float:
    """What the service takes at the very least, once its models are loaded and with nothing to do.

    With ONNX Runtime, where it is not OpenVINO that was asked for: which one `auto` takes is not known before.
    """
    files = sorted(filter(None, map(_bytes_with_encoder, settings.models.glob("*/generator.onnx"))))
    models = 0.0
    for size in files:
        if models and models + memory_mb(size) > settings.max_loaded_mb:
            break
        models += memory_mb(size)
    engine = _MB_OF_OPENVINO if settings.engine == "openvino" else 0
    return _MB_OF_THE_PARENT + settings.workers * (_MB_OF_A_WORKER + engine + models)


def _bytes_with_encoder(file: Path) -> int:
    """0 if there is no generator to go with it."""
    size = _bytes(file)
    return size and size + _bytes(file.with_suffix(".encoder"))


def _bytes(file: Path) -> int:
    """0 if it can't be read: then it takes nothing."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def shortage(settings: Settings) -> str | None:
    """Why this container's memory can't be enough, in one line; None if it may be.

    Else the kernel would end it in the middle of loading, again and again and without a word.
    """
    limit, least = memory_limit_bytes() / 2**20, least_mb(settings)
    if least <= limit:
        return None
    return (
        f"memory: this container may have {limit:.0f} MB, and what it is to load takes {least:.0f} at least "
        f"(GANSERVE_WORKERS: {settings.workers}, GANSERVE_ENGINE: {settings.engine}). Give it more, or lower GANSERVE_WORKERS or GANSERVE_MAX_LOADED_MB."
    )
