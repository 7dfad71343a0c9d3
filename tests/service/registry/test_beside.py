"""The encoder beside a model's file comes, changes and goes with the orders that its model follows."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from service.drawing.latent.inversions import Found, find
from service.errors import EngineFailed, InvalidField
from service.generator.images import png
from service.registry import orders, versions
from service.registry.footprint import least_mb
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from tests.generators import encoders
from tests.generators.encoders import TinyEncoder
from tests.service.registry.rolling import NEW, OLD, SECONDS, V_NEW, V_OLD, lay, play, worker

PICTURE = OLD.forward(OLD.contract().rows([5]), np.array([3]))


async def inverted(rollout: Rollout, address: str = "tiny") -> Found:
    model = rollout.models.find(address)
    model.require_ready()
    return await find([png(PICTURE[0])], None, model, time.monotonic() + SECONDS)


async def finds(rollout: Rollout, encoder: TinyEncoder, address: str = "tiny") -> bool:
    """Whether z is what `encoder` finds."""
    return np.allclose((await inverted(rollout, address)).z, encoder.forward(PICTURE)[0], atol=1e-4)


async def reload(rollout: Rollout) -> None:
    await orders.reload(rollout, SECONDS)
    assert rollout._loading is not None
    await rollout._loading


def test_an_encoder_is_read_again_with_every_reload(tmp_path):
    async def scene() -> None:
        lay(tmp_path, "generator.onnx", OLD.file())
        async with worker(tmp_path) as rollout:
            with pytest.raises(InvalidField, match="training encode"):
                await inverted(rollout)
            for seed in (1, 2):
                made = encoders.beside(tmp_path / "models", "tiny", OLD, seed)
                await reload(rollout)
                assert await finds(rollout, made)
            lay(tmp_path, "generator.encoder", b"no encoder")
            await reload(rollout)
            with pytest.raises(InvalidField, match="not an ONNX file"):
                await inverted(rollout)
            (tmp_path / "models/tiny/generator.encoder").unlink()
            await reload(rollout)
            with pytest.raises(InvalidField, match=r"has no encoder, which"):
                await inverted(rollout)
            assert rollout.models.batcher is not None
            assert set(rollout.models.batcher.admission.images_by_model) == {"tiny"}

    play(scene())


def test_each_version_has_its_own_encoder_and_goes_with_it(tmp_path):
    async def scene() -> None:
        lay(tmp_path, "generator.onnx", OLD.file())
        old = encoders.beside(tmp_path / "models", "tiny", OLD)
        async with worker(tmp_path) as rollout:
            new = TinyEncoder(NEW.contract(), V_NEW, 3)
            lay(tmp_path, "next.onnx", NEW.file())
            lay(tmp_path, "next.encoder", new.file(NEW.forward))
            await reload(rollout)
            assert await finds(rollout, old, f"tiny@{V_OLD}")
            assert await finds(rollout, new, f"tiny@{V_NEW}")
            assert (versions.kept(tmp_path / "shared", "tiny", V_NEW) / "next.encoder").is_file()
            await orders.direct(rollout, "tiny", V_NEW, 1.0, SECONDS)
            await orders.retire(rollout, "tiny", V_OLD, SECONDS)
            assert await finds(rollout, new)
            assert rollout.models.batcher is not None
            names = [line.name for line in rollout.models.batcher.admission._lines]
            assert sorted(names) == ["tiny", "tiny/encoder"]

    play(scene())


def test_a_model_that_makes_room_for_others_takes_its_encoder_out_of_memory_and_brings_it_back(tmp_path):
    async def scene() -> None:
        made = encoders.beside(tmp_path / "models", "tiny", OLD)
        lay(tmp_path, "generator.onnx", OLD.file())
        async with worker(tmp_path) as rollout:
            models = rollout.models
            models.unload(models["tiny"])
            assert models.batcher is not None
            assert models.batcher.admission.images_by_model == {}
            await rollout.wake(models["tiny"], SECONDS)
            assert await finds(rollout, made)

    play(scene())


def test_an_encoder_counts_where_memory_is_reckoned(tmp_path):
    lay(tmp_path, "generator.onnx", OLD.file())
    settings = Settings(models=tmp_path / "models")
    alone, least = Models(settings)["tiny"].file_bytes, least_mb(settings)
    lay(tmp_path, "generator.encoder", bytes(10**6))
    assert Models(settings)["tiny"].file_bytes == alone + 10**6
    assert least_mb(settings) == pytest.approx(least + 3 * settings.workers)


@pytest.mark.parametrize("fault", ["another size", "NaN"])
def test_an_encoder_that_breaks_while_it_serves_leaves_the_model_served(tmp_path, fault):
    async def scene() -> None:
        encoders.beside(tmp_path / "models", "tiny", OLD)
        lay(tmp_path, "generator.onnx", OLD.file())
        async with worker(tmp_path) as rollout:
            model = rollout.models["tiny"]
            assert model.beside.encoder is not None
            wrong = (
                np.zeros((1, 3), np.float32)
                if fault == "another size"
                else np.full((1, 18), np.nan, np.float32)
            )
            engine: Any = model.beside.encoder.engine
            engine.wide, engine.lanes = (lambda *_: wrong), [lambda *_: wrong] * len(engine.lanes)
            with pytest.raises(EngineFailed):
                await inverted(rollout)
            if fault == "another size":
                with pytest.raises(InvalidField, match="float32"):
                    await inverted(rollout)
            model.require_ready()

    play(scene())


def test_requests_that_an_encoder_accepted_are_answered_though_it_is_replaced(tmp_path):
    async def scene() -> None:
        first = encoders.beside(tmp_path / "models", "tiny", OLD, 1)
        lay(tmp_path, "generator.onnx", OLD.file())
        async with worker(tmp_path) as rollout:
            asked = [asyncio.ensure_future(inverted(rollout)) for _ in range(10)]
            second = encoders.beside(tmp_path / "models", "tiny", OLD, 2)
            await reload(rollout)
            z = [(await one).z for one in asked]
            wanted = [encoder.forward(PICTURE)[0] for encoder in (first, second)]
            assert all(any(np.allclose(one, want, atol=1e-4) for want in wanted) for one in z)
            assert await finds(rollout, second)

    play(scene())
