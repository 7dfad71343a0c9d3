"""Generators for passes with bound buffers."""

from typing import Any

import numpy as np

from service.generator.latents import latents
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
