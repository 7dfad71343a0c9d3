"""Versions that come, wait, retire and leave the memory of one worker."""

import asyncio
import gc
import threading
import time
import weakref
from unittest import mock

import pytest
from prometheus_client import REGISTRY

from service.drawing.sampler import Encoding, SampleRequest, resolve, sample
from service.errors import (
    NotReady,
    UnknownModel,
)
from service.generator import images
from service.generator.engines import choose as choose_module
from service.generator.engines.fake import FakeEngine
from service.registry import desired_state, orders, versions
from service.registry.model import Model
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from tests.service.registry.rolling import NEW, OLD, SECONDS, V_NEW, V_OLD, draws, lay, play, worker
from tests.waiting import until


def test_a_version_that_gets_requests_stays_until_the_one_in_its_place_is_ready(root):
    """As where it failed on the worker that read the folder again, and not on this one."""
    goes_on = threading.Event()
    load = Model.load

    def load_slowly(model, settings, worker=0):
        goes_on.wait()
        load(model, settings, worker)

    async def scene() -> None:
        async with worker(root) as one:
            lay(root, "generator.onnx", NEW.file())
            found = versions.find(root / "models")
            with mock.patch.object(Model, "load", load_slowly):
                desired_state.change(
                    root / "shared",
                    lambda before: versions.merge(before, found, {"tiny": {V_OLD}}, 4, None)[0],
                )
                one.follow()
                assert [model.version for model in one.models.versions["tiny"]] == [V_OLD, V_NEW]
                assert await draws(one, "tiny", OLD)
                goes_on.set()
                await until(lambda: one.models["tiny"].version == V_NEW)
            assert await draws(one, "tiny", NEW)
            assert [model.version for model in one.models.versions["tiny"]] == [V_NEW]

    play(scene())


def test_a_version_that_is_not_loaded_yet_is_not_ready_and_not_unknown(root):
    """Or a cache before the service would take its images for gone."""
    lay(root, "generator-2.onnx", NEW.file())
    waits, goes_on = threading.Event(), threading.Event()
    load = Model.load

    def load_slowly(model, settings, worker=0):
        waits.set()
        goes_on.wait()
        load(model, settings, worker)

    async def scene() -> None:
        rollout = Rollout(Models(Settings(models=root / "models", engine="fake")), root / "shared")
        with pytest.raises(NotReady, match="loading"):
            rollout.models.find(f"tiny@{V_OLD}")
        start = asyncio.create_task(rollout.start())
        await until(waits.is_set)
        with pytest.raises(NotReady, match="loading"):
            rollout.models.find(f"tiny@{V_OLD}").require_ready()
        with pytest.raises(NotReady, match="loading"):
            rollout.models.find(f"tiny@{V_NEW}").require_ready()
        with pytest.raises(UnknownModel):
            rollout.models.find("tiny@000000000000")
        goes_on.set()
        await start
        assert rollout.models.all_ready
        await until(lambda: rollout.models.find(f"tiny@{V_NEW}").state == "ready")
        await rollout.stop()
        assert rollout.models.batcher
        rollout.models.batcher.close()

    with mock.patch.object(Model, "load", load_slowly):
        play(scene())


def test_a_retired_version_answers_what_it_accepted_and_leaves_the_memory(root):
    lay(root, "generator-2.onnx", NEW.file())
    gate = threading.Event()
    retired = FakeEngine(NEW.contract(), pass_seconds=0.03)
    forward = retired.wide

    def wait(z, label):
        gate.wait()
        return forward(z, label)

    def choose(file, *_, **__):
        return choose_module.Choice(retired if file == NEW.file() else FakeEngine(OLD.contract()))

    async def scene() -> None:
        nonlocal retired, forward
        async with worker(root, engine="fake") as one:
            await orders.reload(one, SECONDS)
            engine, model = weakref.ref(retired), one.models.find(f"tiny@{V_NEW}")
            retired.wide, retired.lanes = wait, [wait]
            draw = resolve(SampleRequest(seed=5, label=3), model, 1)
            accepted = asyncio.create_task(sample(draw, Encoding(), time.monotonic() + SECONDS))
            del model, draw
            await asyncio.sleep(0)
            await orders.retire(one, "tiny", V_NEW, SECONDS)
            with pytest.raises(UnknownModel, match=V_OLD):
                one.models.find(f"tiny@{V_NEW}")
            assert not accepted.done()
            assert engine() is not None
            gate.set()
            assert images.decode(await accepted).shape == (1, 8, 8)
            del retired, forward, accepted
            await until(lambda: engine() is None)
            labels = {"engine": "fake", "precision": "fp32", "provider": "none", "version": V_NEW}
            assert REGISTRY.get_sample_value("ganserve_model_info", {"model": "tiny", **labels}) == 0
            assert REGISTRY.get_sample_value("ganserve_queue_images", {"model": "tiny"}) == 0

    with mock.patch("service.generator.loading.choose", choose):
        play(scene())


@pytest.mark.parametrize("engine_name", ["onnxruntime", "openvino"])
def test_a_retired_engine_does_not_wait_for_the_garbage_collector(root, engine_name):
    """Which would not look at it: what was loaded is frozen."""
    lay(root, "generator-2.onnx", NEW.file())

    async def scene() -> None:
        async with worker(root, engine=engine_name, threads=2) as one:
            await orders.reload(one, SECONDS)
            assert await draws(one, f"tiny@{V_NEW}", NEW)
            engine = weakref.ref(one.models.find(f"tiny@{V_NEW}").engine)
            await orders.retire(one, "tiny", V_NEW, SECONDS)
            await until(lambda: engine() is None)  # whoever ran its pass may still be at its end

    gc.disable()
    try:
        play(scene())
    finally:
        gc.enable()


def test_where_no_worker_starts_later_there_are_no_copies(root):
    lay(root, "generator-2.onnx", NEW.file())

    async def scene() -> None:
        models = Models(Settings(models=root / "models", engine="onnxruntime", threads=1))
        rollout = Rollout(models, root / "shared", keeps_files=False)
        await rollout.start()
        await orders.reload(rollout, SECONDS)
        await orders.direct(rollout, "tiny", V_NEW, 1, SECONDS)
        assert await draws(rollout, "tiny", NEW)
        assert not list((root / "shared").glob("**/*.onnx"))
        await rollout.stop()
        assert models.batcher
        models.batcher.close()

    play(scene())


def test_a_retired_version_comes_back_with_a_reload(root):
    lay(root, "generator-2.onnx", NEW.file())

    async def scene() -> None:
        async with worker(root) as one:
            await orders.reload(one, SECONDS)
            await orders.retire(one, "tiny", V_NEW, SECONDS)
            assert not list((root / "shared").glob(f"**/{V_NEW}"))
            await orders.reload(one, SECONDS)
            assert await draws(one, f"tiny@{V_NEW}", NEW)

    play(scene())
