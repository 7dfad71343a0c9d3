"""Which models are in memory: as many as GANSERVE_MAX_LOADED_MB holds. The others come when they are asked for."""

import asyncio
import logging
import time

from service.registry.model import Model
from service.registry.models import Models

log = logging.getLogger("bentoml.ganserve.room")


# In memory, before it is evicted: so that all who waited for it are answered, where many want one place.
LEAST_SECONDS = 0.25


def fits(models: Models, model: Model) -> bool:
    """Whether it fits in beside those that are loaded. The first always does."""
    loaded = [one.memory_mb for ones in models.versions.values() for one in ones if one.state == "ready"]
    return not loaded or sum([*loaded, model.memory_mb]) <= models.settings.max_loaded_mb


async def evict_for(models: Models, model: Model) -> None:
    """Unload the least recently used until it fits, once they had their time. On the event loop.

    A model of which several versions are loaded stays: an order was given for them.
    """
    while not fits(models, model):
        others = [one for one in models.values() if one.state == "ready" and _is_alone(models, one)]
        if not others:
            log.warning(
                *("model %s passes GANSERVE_MAX_LOADED_MB: the others have several versions", model.name),
                extra={"event": "memory_exceeded", "model": model.name},
            )
            return
        least = min(others, key=lambda one: one.used_at)
        if (seconds := least.loaded_at + LEAST_SECONDS - time.monotonic()) > 0:
            await asyncio.sleep(seconds)
        else:
            models.unload(least)


def _is_alone(models: Models, model: Model) -> bool:
    return len(models.versions[model.name]) == 1
