"""A worker with two versions of a model, whose client may give orders."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from service.generator import contract
from service.keys import Keyring
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from service.web.front import Front
from tests import generators
from tests.generators import Tiny
from tests.service.web.site import no_bento
from tests.waiting import until

OLD, NEW = Tiny(golden_samples=1), Tiny(golden_samples=1, weights_seed=1)
TOKEN = "t" * 43
V_OLD, V_NEW = contract.version(OLD.file()), contract.version(NEW.file())


@asynccontextmanager
async def served(
    root: Path, keyring: Keyring | None = None, credential: str = f"Bearer {TOKEN}"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a worker with both versions of `tiny` in memory; the old one gets the requests."""
    folder = generators.folder(root / "models", {"tiny": OLD.file()})
    (folder / "tiny" / "generator-2.onnx").write_bytes(NEW.file())
    models = Models(Settings(models=folder, default_model="tiny", engine="onnxruntime", threads=1))
    front = Front(models, no_bento, frozenset(), keyring, TOKEN)
    front.rollout = Rollout(models, root / "shared")
    await front.rollout.start()
    await until(lambda: all(model.state == "ready" for model in models.versions["tiny"]))
    headers = {"authorization": credential} if credential else {}
    transport = httpx.ASGITransport(front)
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost:3000", headers=headers, trust_env=False
        ) as asking:
            yield asking
    finally:
        await front.rollout.stop()
        assert models.batcher
        await asyncio.to_thread(models.batcher.close)


def play(root, scene: Callable[[httpx.AsyncClient], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with served(root, **options) as client:
            await scene(client)

    asyncio.run(run())
