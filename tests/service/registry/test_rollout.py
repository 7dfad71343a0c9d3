"""One worker's versions, and the orders; with more than one, in tests/system/lifecycle/test_rollout.py."""

import pytest
from prometheus_client import REGISTRY

from service.errors import (
    InvalidField,
    NotShared,
    UnknownModel,
    VersionRefused,
    WorkersLate,
)
from service.generator import contract
from service.registry import desired_state, orders
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from tests.service.registry.rolling import NEW, OLD, SECONDS, V_NEW, V_OLD, draws, lay, play, worker
from tests.waiting import until


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
                five_errors = 5 * (share * (1 - share) / 2000) ** 0.5
                assert abs(len(now) / 2000 - share) < five_errors
                assert before < now
                assert now == seeds(other) == seeds(one)
                drawn = [one.models.pick(None, None).version for _ in range(2000)]
                assert abs(drawn.count(V_NEW) / 2000 - share) < five_errors
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
            # Neither of the two waited until it was loaded.
            await until(lambda: one.models.find(f"tiny@{V_NEW}").state == "ready")
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
