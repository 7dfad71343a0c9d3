"""Models on their batcher, without HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from service.generator.engine import Engine
from service.generator.engines.choose import Choice
from service.registry.models import Models
from service.settings import Settings
from tests import generators


@contextmanager
def loaded(
    root: Path, files: dict[str, bytes], on: Engine | None = None, **settings: Any
) -> Iterator[Models]:
    """Models made of `files`, loaded; all of them on the engine `on`, if one is given."""
    generators.folder(root, files)
    models = Models(Settings(models=root, **settings))
    chosen = mock.patch("service.generator.loading.choose", return_value=Choice(on)) if on else nullcontext()
    with chosen:
        models.load()
    try:
        yield models
    finally:
        if models.batcher:
            models.batcher.close()
