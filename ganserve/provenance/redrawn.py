"""The images of a picture, drawn again by the request that it names: here, with the service's own code, and no server."""

import logging
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ganserve.generating.engine import find
from ganserve.generating.plan import Refused
from ganserve.provenance.told import MOST_IMAGES
from service.drawing.draw import Draw
from service.drawing.latent.arithmetic import ArithmeticRequest, add_up
from service.drawing.latent.interpolation import InterpolationRequest, interpolate
from service.drawing.sampler import SampleRequest, resolve
from service.environment import from_environment
from service.errors import GanserveError
from service.generator.latents import rows_of
from service.registry.model import Model

_KINDS = {
    "/v1/samples": (SampleRequest, resolve),
    "/v1/interpolations": (InterpolationRequest, interpolate),
    "/v1/arithmetic": (ArithmeticRequest, add_up),
}


def redrawn(address: str, version: str, route: str, request: dict[str, Any]) -> NDArray[np.uint8]:
    """uint8 [n, H, W, C]. address: as LocalModel has it; version: what it must be. Raises Refused."""
    # It says why a model does not load; so does what is raised here.
    logging.getLogger("bentoml.ganserve").addHandler(logging.NullHandler())
    try:
        settings = from_environment()
        path, name, _ = find(address, settings.models)
        model = Model(path.parent, path.name, name)
        model.load(settings)
        if model.version and model.version != version:
            raise Refused(f"{address} is version {model.version}, and the picture is of {version}.")
        kind, understand = _KINDS[route]
        drawn = understand(msgspec.convert(request, kind), model, MOST_IMAGES)
        return _images(drawn if isinstance(drawn, Draw) else drawn.draw)
    except (GanserveError, msgspec.ValidationError) as error:
        raise Refused(f"{error}") from None


def _images(draw: Draw) -> NDArray[np.uint8]:
    loaded, rows = draw.model.loaded, rows_of([draw.z])
    label = None if draw.label is None else np.array(draw.label, np.int64)
    forward, most = loaded.engine.lanes[0], min(loaded.max_batch, loaded.engine.max_batch)
    passes = [
        forward(rows[begin : begin + most], None if label is None else label[begin : begin + most])
        for begin in range(0, len(rows), most)
    ]
    return np.concatenate(passes).transpose(0, 2, 3, 1)
