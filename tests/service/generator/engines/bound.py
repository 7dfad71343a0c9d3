"""Generators for passes with bound buffers, and the engine that is chosen for one."""

from typing import Any

import numpy as np

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
