"""One worker's versions, and the orders; with more than one, in tests/system/lifecycle/test_rollout.py."""

import asyncio
import gc
import shutil
import threading
import time
import weakref
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.drawing.sampler import Encoding, SampleRequest, resolve, sample
from service.errors import (
    EngineUnavailable,
    InvalidField,
    NotReady,
    NotShared,
    UnknownModel,
    VersionRefused,
    WorkersLate,
)
from service.generator import contract, images
from service.generator.engines import choose as choose_module
from service.generator.engines.fake import FakeEngine
from service.generator.latents import latents
from service.registry import desired_state, orders, versions
from service.registry.footprint import memory_mb
from service.registry.model import Model
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from tests.generators import Tiny
from tests.waiting import until

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


@pytest.fixture
def root(tmp_path) -> Path:
    """Of one model, `tiny`, with its old version as generator.onnx."""
    lay(tmp_path, "generator.onnx", OLD.file())
    return tmp_path


async def draws(rollout: Rollout, address: str, tiny: Tiny) -> bool:
    """Whether the image at this address is the one that `tiny` draws; the two draw quite different ones."""
    model = rollout.models.find(address)
    model.require_ready()
    draw = resolve(SampleRequest(seed=5, label=3), model, 1)
    image = images.decode(await sample(draw, Encoding(), time.monotonic() + SECONDS))
    (drawn,) = tiny.forward(latents([5], tiny.z_dim), np.array([3]))
    return np.abs(image.astype(int) - drawn).max() <= 1


def shares(rollout: Rollout) -> dict[str, float]:
    """Of requests that name no version; measured."""
    picked = [rollout.models.pick("tiny", seed).version for seed in range(2000)]
    return {version: picked.count(version) / 2000 for version in set(picked)}


def test_a_new_file_has_its_address_after_a_reload_and_no_requests_before_an_order(root):
    async def scene() -> None:
        async with worker(root) as one:
            assert await draws(one, "tiny", OLD)
            lay(root, "generator-2.onnx", NEW.file())
            with pytest.raises(UnknownModel, match=V_OLD):
                one.models.find(f"tiny@{V_NEW}")
            state = await orders.reload(one, SECONDS)
            assert state.wanted.models["tiny"].versions == {
                V_OLD: "generator.onnx",
                V_NEW: "generator-2.onnx",
            }
            assert await draws(one, f"tiny@{V_NEW}", NEW)
            assert await draws(one, f"tiny@{V_OLD}", OLD)
            assert await draws(one, "tiny", OLD)
            assert shares(one) == {V_OLD: 1}
            await orders.direct(one, "tiny", V_NEW, 1, SECONDS)
            assert await draws(one, "tiny", NEW)
            assert await draws(one, f"tiny@{V_OLD}", OLD)
            assert shares(one) == {V_NEW: 1}
            await orders.direct(one, "tiny", V_OLD, 1, SECONDS)
            assert await draws(one, "tiny", OLD)

    play(scene())


def test_a_canary_gets_its_share_the_same_seeds_always_and_more_of_them_as_it_grows(root):
    lay(root, "generator-2.onnx", NEW.file())

    def seeds(rollout: Rollout) -> set[int]:
        return {seed for seed in range(2000) if rollout.models.pick("tiny", seed).version == V_NEW}

    async def scene() -> None:
        async with worker(root) as one, worker(root, root / "another service's") as other:
            await until(lambda: all(model.state == "ready" for model in other.models.versions["tiny"]))
            await until(lambda: all(model.state == "ready" for model in one.models.versions["tiny"]))
            before: set[int] = set()
            for share in (0.05, 0.3, 0.9):
                for rollout in (one, other):
                    await orders.direct(rollout, "tiny", V_NEW, share, SECONDS)
                now = seeds(one)
                assert abs(len(now) / 2000 - share) < 0.035  # three standard errors
                assert before < now
                assert now == seeds(other) == seeds(one)
                drawn = [one.models.pick(None, None).version for _ in range(2000)]
                assert abs(drawn.count(V_NEW) / 2000 - share) < 0.035
                assert {one.models.pick(f"tiny@{V_OLD}", seed).version for seed in now} == {V_OLD}
                assert one.models.find("tiny").version == V_OLD
                labels = {"model": "tiny", "version": V_NEW}
                assert REGISTRY.get_sample_value("ganserve_traffic_share", labels) == share
                before = now
            await orders.direct(one, "tiny", V_NEW, 0, SECONDS)
            assert shares(one) == {V_OLD: 1}

    play(scene())


def test_all_requests_for_either_version_end_a_canary(root):
    lay(root, "generator-2.onnx", NEW.file())

    async def scene() -> None:
        async with worker(root) as one:
            await orders.reload(one, SECONDS)
            for version in (V_NEW, V_OLD):
                await orders.direct(one, "tiny", V_OLD, 1, SECONDS)
                await orders.direct(one, "tiny", V_NEW, 0.5, SECONDS)
                state = await orders.direct(one, "tiny", version, 1, SECONDS)
                assert state.wanted.models["tiny"].canary is None
                assert shares(one) == {version: 1}

    play(scene())


def test_what_an_order_can_not_mean_is_refused_and_changes_nothing(root):
    lay(root, "generator-2.onnx", NEW.file())
    lay(root, "generator-3.onnx", b"no generator")
    broken = contract.version(b"no generator")

    async def scene() -> None:
        async with worker(root) as one:
            await until(lambda: all(model.state != "loading" for model in one.models.versions["tiny"]))
            await orders.direct(one, "tiny", V_NEW, 0.25, SECONDS)
            before = await orders.state(one)
            for error, says, order in (
                (UnknownModel, "no model 'none'", orders.direct(one, "none", V_NEW, 1, SECONDS)),
                (UnknownModel, "POST /v1/admin/reload", orders.direct(one, "tiny", "0" * 12, 1, SECONDS)),
                (UnknownModel, "not ''", orders.retire(one, "tiny", "", SECONDS)),
                (VersionRefused, "not an ONNX file", orders.direct(one, "tiny", broken, 1, SECONDS)),
                (VersionRefused, "is failed on worker", orders.direct(one, "tiny", broken, 0.1, SECONDS)),
                (VersionRefused, "gets requests", orders.retire(one, "tiny", V_OLD, SECONDS)),
                (VersionRefused, "gets requests", orders.retire(one, "tiny", V_NEW, SECONDS)),
                (InvalidField, "name the canary", orders.direct(one, "tiny", V_OLD, 0.5, SECONDS)),
                (InvalidField, "name the canary", orders.direct(one, "tiny", V_OLD, 0, SECONDS)),
            ):
                with pytest.raises(error, match=says):
                    await order
            after = await orders.state(one)
            assert after == before
            assert one.models.share(one.models.find(f"tiny@{V_NEW}")) == 0.25

    play(scene())


def test_files_that_fail_are_named_and_what_is_good_is_loaded(root, caplog):
    async def scene() -> None:
        async with worker(root) as one:
            lay(root, "half.onnx", NEW.file()[:500])
            lay(root, "generator.onnx", b"?", model="broken")
            lay(root, "generator-2.onnx", NEW.file())
            lay(root, "generator.onnx", OLD.file(), model="another")
            with pytest.raises(VersionRefused) as caught:
                await orders.reload(one, SECONDS)
            assert "(half.onnx): not an ONNX file" in str(caught.value)
            half = (
                f"model tiny@{contract.version(NEW.file()[:500])} (half.onnx) is not served: not an ONNX file"
            )
            failures = [
                line for line in caplog.messages if line.startswith("model tiny") and "not served" in line
            ]
            assert [line[: len(half)] for line in failures] == [half], "its other versions are"
            assert "broken@" in str(caught.value)
            assert "generator-2.onnx" not in str(caught.value)
            assert list(one.models) == ["another", "tiny"], "a model that failed is no reason to be not ready"
            assert one.models.all_ready
            assert await draws(one, f"tiny@{V_NEW}", NEW)
            assert await draws(one, "another", OLD)
            lay(root, "half.onnx", NEW.file())
            lay(root, "generator.onnx", NEW.file(), model="broken")
            await orders.reload(one, SECONDS)
            assert await draws(one, "broken", NEW)

    play(scene())


def test_a_model_that_could_not_be_served_is_served_once_its_file_is_mended(root):
    lay(root, "generator.onnx", b"?", model="broken")

    async def scene() -> None:
        async with worker(root) as one:
            assert one.models["broken"].state == "failed"
            assert not one.models.all_ready
            with pytest.raises(VersionRefused, match="broken@"):
                await orders.reload(one, SECONDS)
            lay(root, "generator.onnx", OLD.file(), model="broken")
            await orders.reload(one, SECONDS)
            assert one.models.all_ready
            assert await draws(one, "broken", OLD)
            assert [model.version for model in one.models.versions["broken"]] == [V_OLD]

    play(scene())


def test_what_failed_for_another_reason_than_its_file_is_tried_again(root, monkeypatch):
    lay(root, "generator-2.onnx", NEW.file())
    choose = choose_module.choose
    no_room: list[str] = ["out of memory"]

    def choose_if_there_is_room(file, *rest, **more):
        if file == NEW.file() and no_room:
            raise EngineUnavailable(no_room[0])
        return choose(file, *rest, **more)

    monkeypatch.setattr("service.generator.loading.choose", choose_if_there_is_room)

    async def scene() -> None:
        async with worker(root) as one:
            with pytest.raises(VersionRefused, match="out of memory"):
                await orders.reload(one, SECONDS)
            no_room.clear()
            await orders.reload(one, SECONDS)
            assert await draws(one, f"tiny@{V_NEW}", NEW)

    play(scene())


def test_a_replaced_file_takes_nothing_from_the_version_that_is_served(root):
    async def scene() -> None:
        async with worker(root) as one:
            lay(root, "generator.onnx", NEW.file())
            await orders.reload(one, SECONDS)
            assert await draws(one, "tiny", OLD)
            assert await draws(one, f"tiny@{V_NEW}", NEW)
            async with worker(root) as later:
                assert await draws(later, "tiny", OLD), "as those that were there before"
                await until(lambda: later.models.find(f"tiny@{V_NEW}").state == "ready")
                assert await draws(later, f"tiny@{V_NEW}", NEW)
                await orders.direct(later, "tiny", V_NEW, 0.5, SECONDS)
            async with worker(root) as latest:
                await until(lambda: latest.models.share(latest.models.find(f"tiny@{V_NEW}")) == 0.5)
        async with worker(root, root / "after a full start") as fresh:
            assert await draws(fresh, "tiny", NEW)
            with pytest.raises(UnknownModel):
                fresh.models.find(f"tiny@{V_OLD}")

    play(scene())


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
            assert engine() is None

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


def test_every_version_is_held_to_its_own_card(root):
    def card(file: str, content: bytes) -> None:
        lay(root, file, f"# tiny\n\n| | |\n| --- | --- |\n{contract.card_row(content)}\n".encode())

    card("README.md", OLD.file())

    async def scene() -> None:
        async with worker(root) as one:
            assert one.models["tiny"].verified
            lay(root, "generator-2.onnx", NEW.file())
            await orders.reload(one, SECONDS)
            new = one.models.find(f"tiny@{V_NEW}")
            assert not new.verified, "README.md is of generator.onnx"
            await orders.retire(one, "tiny", V_NEW, SECONDS)
            card("generator-2.md", b"another")
            with pytest.raises(
                VersionRefused, match=r"\(generator-2\.onnx\): the file is not that of its card"
            ):
                await orders.reload(one, SECONDS)
            card("generator-2.md", NEW.file())
            await orders.reload(one, SECONDS)
            assert one.models.find(f"tiny@{V_NEW}").verified

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


def test_a_version_too_many_is_named_and_left_out(root):
    async def scene() -> None:
        async with worker(root, max_versions=1) as one:
            lay(root, "generator-2.onnx", NEW.file())
            with pytest.raises(VersionRefused, match="GANSERVE_MAX_VERSIONS"):
                await orders.reload(one, SECONDS)
            assert [model.version for model in one.models.versions["tiny"]] == [V_OLD]

    play(scene())


def test_an_order_says_which_workers_have_not_done_it(root):
    async def scene() -> None:
        async with worker(root, workers=2) as one:
            lay(root, "generator-2.onnx", NEW.file())
            with pytest.raises(WorkersLate, match="of 2 workers there are 1"):
                await orders.reload(one, 0.2)
            reads_nothing = desired_state.Report(1, 1, {})
            desired_state.report(root / "shared", reads_nothing)
            with pytest.raises(WorkersLate, match="worker 1 is late"):
                await orders.reload(one, 0.2)
            assert await draws(one, f"tiny@{V_NEW}", NEW), "those that are there do it"

    play(scene())


@pytest.mark.parametrize("shared", ["none", "a file where a folder is needed"])
def test_without_a_folder_to_agree_in_all_is_served_and_nothing_can_be_ordered(root, shared, caplog):
    lay(root, "generator-2.onnx", NEW.file())
    (root / "file").write_text("")

    async def scene() -> None:
        models = Models(Settings(models=root / "models", engine="onnxruntime", threads=1))
        rollout = Rollout(models, None if shared == "none" else root / "file")
        await rollout.start()
        assert models.all_ready
        assert await draws(rollout, f"tiny@{V_OLD}", OLD)
        for order in (
            orders.state(rollout),
            orders.reload(rollout, 1),
            orders.direct(rollout, "tiny", V_OLD, 1, 1),
        ):
            with pytest.raises(NotShared):
                await order
        rollout.follow()
        await rollout.stop()
        assert models.batcher
        models.batcher.close()

    play(scene())
    assert "can't be changed" in caplog.text


def test_a_service_that_started_without_models_gets_them_by_a_reload(tmp_path):
    (tmp_path / "models").mkdir()

    async def scene() -> None:
        async with worker(tmp_path) as one:
            assert not one.models.all_ready
            assert one.models.problem
            lay(tmp_path, "generator.onnx", OLD.file())
            await orders.reload(one, SECONDS)
            assert one.models.all_ready
            assert not one.models.problem
            assert one.models.find(None).name == "tiny"
            assert await draws(one, "tiny", OLD)

    play(scene())


def test_files_that_can_not_be_read_for_now_change_nothing(root, caplog):
    async def scene() -> None:
        async with worker(root) as one:
            file = root / "shared" / "desired.json"
            whole = file.read_bytes()
            file.write_bytes(whole[:20])
            one.follow()
            assert "can't be read" in caplog.text
            with pytest.raises(NotShared):
                await orders.state(one)
            file.write_bytes(whole)
            one.follow()
            assert await draws(one, "tiny", OLD)

    play(scene())


def test_a_folder_that_is_emptied_is_filled_again_and_orders_go_on(root, caplog):
    lay(root, "generator-2.onnx", NEW.file())

    async def scene() -> None:
        async with worker(root) as one:
            await until(lambda: all(model.state == "ready" for model in one.models.versions["tiny"]))
            await orders.direct(one, "tiny", V_NEW, 1, SECONDS)
            shutil.rmtree(root / "shared")
            one.follow()
            assert "was emptied" in caplog.text
            state = await orders.state(one)
            assert state.wanted.models["tiny"].version == V_NEW
            assert [report.change for report in state.workers] == [state.wanted.change]
            await orders.direct(one, "tiny", V_OLD, 1, SECONDS)
            assert await draws(one, "tiny", OLD)

    play(scene())


def test_a_model_that_was_idle_and_is_broken_stays_out_of_readiness_when_all_is_read_again(root):
    async def scene() -> None:
        lay(root, "generator.onnx", OLD.file()[:-100], model="broken")
        room = 1.5 * memory_mb(len(OLD.file()))
        async with worker(root, max_loaded_mb=room, default_model="tiny") as one:
            await one.wake(one.models["broken"], SECONDS)
            assert one.models["broken"].state == "failed"
            assert one.models.all_ready
            with pytest.raises(VersionRefused, match="broken"):
                await orders.reload(one, SECONDS)
            assert one.models.all_ready
            lay(root, "generator.onnx", OLD.file(), model="broken")
            await orders.reload(one, SECONDS)
            await one.wake(one.models["broken"], SECONDS)
            assert await draws(one, "broken", OLD)

    play(scene())
