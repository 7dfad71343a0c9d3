"""One worker with its versions, and what its tests lay and draw."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.drawing.sampler import Encoding, SampleRequest, resolve, sample
from service.generator import contract, images
from service.generator.latents import latents
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from tests.generators import Tiny

OLD, NEW = Tiny(golden_samples=1), Tiny(golden_samples=1, weights_seed=1)
V_OLD, V_NEW = contract.version(OLD.file()), contract.version(NEW.file())
SECONDS = 20


@asynccontextmanager
async def worker(root: Path, shared: Path | None = None, **settings: Any) -> AsyncIterator[Rollout]:
    """One that has started, with the models under `root`/models."""
    settings = {"engine": "onnxruntime", "threads": 1, **settings}
    models = Models(Settings(models=root / "models", **settings))
    rollout = Rollout(models, shared or root / "shared")
    await rollout.start()
    try:
        yield rollout
    finally:
        await rollout.stop()
        if models.batcher:
            await asyncio.to_thread(models.batcher.close)


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def lay(root: Path, file: str, content: bytes, model: str = "tiny") -> None:
    path = root / "models" / model / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def draws(rollout: Rollout, address: str, tiny: Tiny) -> bool:
    """Whether the image at this address is the one that `tiny` draws; the two draw quite different ones."""
    model = rollout.models.find(address)
    model.require_ready()
    draw = resolve(SampleRequest(seed=5, label=3), model, 1)
    image = images.decode(await sample(draw, Encoding(), time.monotonic() + SECONDS))
    (drawn,) = tiny.forward(latents([5], tiny.z_dim), np.array([3]))
    return np.abs(image.astype(int) - drawn).max() <= 1
