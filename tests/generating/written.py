"""`ganserve generate` as tests run it, and what the service gives for the same seeds."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from ganserve.generating.command import generate
from service.generator import loading
from service.generator.latents import latents, truncate
from service.settings import Settings


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(
        generate, [str(word) for word in words], env={"GANSERVE_ENGINE": "onnxruntime"}
    )
    assert result.exit_code == code, result.output
    return result


def served(folder: Path, seeds: range, labels: list[int] | None, truncation: float = 1.0) -> np.ndarray:
    """The service's images, uint8 [N, H, W, C], all in one pass."""
    loaded = loading.load(loading.read(folder / "generator.onnx"), Settings(engine="onnxruntime"))
    z = truncate(latents(seeds, loaded.contract.z_dim), truncation)
    images = loaded.engine.wide(z, None if labels is None else np.array(labels, np.int64))
    return images.transpose(0, 2, 3, 1)


def pixels(file: object) -> np.ndarray:
    with Image.open(file) as image:  # pyright: ignore[reportArgumentType]
        return np.atleast_3d(np.asarray(image))
