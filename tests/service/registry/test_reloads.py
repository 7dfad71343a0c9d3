"""What an order to read the files again does to one worker: files that fail, are mended, replaced or gone."""

import shutil

import pytest

from service.errors import (
    EngineUnavailable,
    NotShared,
    UnknownModel,
    VersionRefused,
)
from service.generator import contract
from service.generator.engines import choose as choose_module
from service.registry import orders
from service.registry.footprint import memory_mb
from tests.service.registry.rolling import NEW, OLD, SECONDS, V_NEW, V_OLD, draws, lay, play, worker
from tests.waiting import until


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
