"""The images to be judged: of a checkpoint, or of an exported file as an engine serves it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract import ImageShape, parse, version
from service.engines.choose import choose
from service.engines.engine import Forward
from service.errors import ContractError, EngineUnavailable
from service.latents import latents
from service.settings import Settings as ServiceSettings
from training.checkpoint import TrainedGenerator, load_generator
from training.dataset import to_uint8
from training.errors import UserError


@dataclass(frozen=True)
class Source:
    """A generator, wherever it runs.

    classes: the class names; None if it is unconditional.
    origin: what it is and what runs it, in JSON types.
    """

    forward: Forward
    z_dim: int
    classes: tuple[str, ...] | None
    image: ImageShape
    origin: dict[str, Any]
    batch: int


def open_source(path: Path, engine: str = "auto", precision: str = "auto", threads: int = 0) -> Source:
    """A run folder, a checkpoint, or an .onnx file; engine, precision and threads concern only the last.

    Raises UserError.
    """
    if path.suffix == ".onnx":
        return _exported(path, ServiceSettings(engine=engine, precision=precision, threads=threads))
    if engine != "auto" or precision != "auto":
        raise UserError(f"{path} is no .onnx file: --engine and --precision are for exported files")
    trained = load_generator(path)
    spec = trained.spec
    return Source(
        forward=torch_forward(trained),
        z_dim=trained.settings.z_dim,
        classes=spec.class_names,
        image=ImageShape(spec.channels, spec.height, spec.width),
        origin={"engine": "torch", "precision": "fp32", "images_seen": trained.images_seen},
        batch=100,
    )


def torch_forward(trained: TrainedGenerator) -> Forward:
    """The averaged network as an engine would be called: uint8 out, rounded as the exported graph does it."""

    @torch.inference_mode()
    def forward(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        assert label is not None  # what is trained here is always conditional
        return to_uint8(trained.generator(torch.from_numpy(z), torch.from_numpy(label)))

    return forward


def images_of(
    source: Source, count: int, advance: Callable[[int], None]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Image i is that of seed i and, in a conditional generator, class i mod K: the same whenever asked.

    advance is called with the number of images that became ready.
    Returns uint8 [count, C, H, W], and the labels, int64 [count]; all 0 if unconditional.
    """
    labels = np.arange(count) % len(source.classes or "0")
    parts = []
    for start in range(0, count, source.batch):
        stop = min(start + source.batch, count)
        label = labels[start:stop] if source.classes else None
        parts.append(source.forward(latents(range(start, stop), source.z_dim), label))
        advance(stop - start)
    return np.concatenate(parts), labels


def _exported(path: Path, settings: ServiceSettings) -> Source:
    try:
        file = path.read_bytes()
        contract = parse(file)
        engine = choose(file, contract, settings)
    except (OSError, ContractError, EngineUnavailable) as error:
        raise UserError(f"{path}: {error}") from error
    return Source(
        forward=engine.wide,
        z_dim=contract.z_dim,
        classes=None if contract.classes is None else tuple(contract.classes),
        image=contract.image,
        origin={
            "engine": engine.name,
            "precision": engine.precision,
            "provider": engine.provider,
            "version": version(file),
        },
        batch=engine.max_batch,
    )
