"""What models and workers take in memory, and whether there is that much. Imports no engine."""

import stat
from functools import lru_cache
from pathlib import Path

from service.generator.contract import Gives, gives
from service.generator.encoder import encoder_of
from service.machine.hardware import memory_limit_bytes
from service.settings import Settings

_TIMES_THE_FILE = 3
_MB_OF_A_SESSION = 10
_MB_OF_A_PIXEL = 0.38e-3
"""What the layers of a pass hold of each of its pixels, of a residual network: some 100 floats."""
_MOST_IMAGES, _PIXELS_OF_A_LONG_PASS, _LEAST_IMAGES = 64, 64 * 64**2, 8
"""A pass has so many images at most; as many as are drawn in 50 ms; as many as one request gets however long they take."""
_MB_OF_THE_PARENT = 85
_MB_OF_A_WORKER = 115
_MB_OF_OPENVINO = 40  # its libraries, beside those of ONNX Runtime


def memory_mb(file_bytes: int, times: int = 1, pixels: int = 0) -> float:
    """What a model takes once loaded, by the larger of both CPU engines: `python -m benchmarks.many_models`.

    times: how often it is loaded. pixels: of one picture; 0: before its first pass. Reckoned and not measured, so that
    every replica leaves the same models idle.
    """
    drawn = max(_LEAST_IMAGES * pixels, min(_MOST_IMAGES * pixels, _PIXELS_OF_A_LONG_PASS))
    return times * (_TIMES_THE_FILE * file_bytes / 1e6 + _MB_OF_A_SESSION + _MB_OF_A_PIXEL * drawn)


def model_mb(path: Path, *, at_least: bool = False) -> float:
    """The same of a model's file, the weights that lie beside it, as `generator.onnx.data`, and its encoder.

    A file that gives more than a picture is loaded twice (engines/everything.py). at_least: before its first pass.
    0 if it can't be read: then it takes nothing.
    """
    try:
        status = path.stat()
        beside = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}.*"))
    except OSError:
        return 0.0
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        return 0.0
    given = _gives(path, status.st_size, status.st_mtime_ns)
    loaded = memory_mb(status.st_size + beside, 2 if given.more else 1, 0 if at_least else given.pixels)
    return loaded + _TIMES_THE_FILE * _bytes(encoder_of(path)) / 1e6


@lru_cache(1024)
def _gives(path: Path, size: int, modified: int) -> Gives:
    """size, modified: by which another file in its place is known."""
    return gives(path)


def least_mb(settings: Settings) -> float:
    """What the service takes at the very least, once its models are loaded and with nothing to do.

    With ONNX Runtime, where it is not OpenVINO that was asked for: which one `auto` takes is not known before.
    """
    models = 0.0
    each = (model_mb(path, at_least=True) for path in settings.models.glob("*/generator.onnx"))
    for one in sorted(filter(None, each)):
        if models and models + one > settings.max_loaded_mb:
            break
        models += one
    engine = _MB_OF_OPENVINO if settings.engine == "openvino" else 0
    return _MB_OF_THE_PARENT + settings.workers * (_MB_OF_A_WORKER + engine + models)


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
