"""One file, read and tried as the service does it."""

from pathlib import Path

from service.generator import loading
from service.settings import Settings


def loaded(folder: Path, file: bytes, engine: str = "onnxruntime", threads: int = 1) -> loading.Loaded:
    (folder / "styled").mkdir(exist_ok=True)
    path = folder / "styled" / "generator.onnx"
    path.write_bytes(file)
    return loading.load(loading.read(path), Settings(engine=engine, threads=threads, models=folder))
