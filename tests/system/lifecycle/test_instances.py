"""Several services on one machine, in one BENTOML_HOME: none has a part in what another does."""

import asyncio
import shutil
import signal
from contextlib import ExitStack

import psutil
import pytest

from service.generator import contract
from tests import generators
from tests.generators import Tiny
from tests.system.lifecycle.test_rollout import order
from tests.system.serving import Server, serving
from tests.waiting import wait_until

ONE, OTHER = Tiny(golden_samples=1), Tiny(golden_samples=1, weights_seed=1)


def versions(server: Server) -> set[str]:
    cards = server.get("/v1/models").json()["data"]
    return {one["version"] for card in cards for one in card["versions"]}


def counted(server: Server) -> tuple[float, float]:
    return server.metric("ganserve_images_total"), server.metric("ganserve_forward_passes_total")


def draw(server: Server, images: int) -> None:
    for seed in range(images):
        assert server.samples(seed=seed).status_code == 200


@pytest.fixture
def two(tmp_path):
    """Two of two workers each, on one port of two addresses, each with models of its own."""
    with ExitStack() as stack:
        servers, port = [], 0
        for name, host, tiny in (("one", "127.0.0.1", ONE), ("other", "127.0.0.2", OTHER)):
            folder = generators.folder(tmp_path / name, {"tiny": tiny.file()})
            home = {"BENTOML_HOME": str(tmp_path / "home")}
            settings = {"models": folder, "engine": "onnxruntime", "workers": 2, "threads": 1}
            server = stack.enter_context(
                serving(tmp_path / f"log-{name}", host=host, port=port, variables=home, **settings)
            )
            servers.append(server)
            port = server.port
        yield servers


def test_orders_models_metrics_and_readiness_stay_apart_also_after_one_was_killed(two, tmp_path):
    one, other = two
    v_one, v_other = contract.version(ONE.file()), contract.version(OTHER.file())
    draw(one, 3)
    assert (versions(one), versions(other)) == ({v_one}, {v_other})
    wait_until(lambda: counted(one) == (3, 3))
    assert counted(other) == (0, 0)

    state = asyncio.run(order(one, "reload"))
    assert set(state["wanted"]["models"]["tiny"]["versions"]) == {v_one}
    assert {report["pid"] for report in state["workers"]} <= {process.pid for process in one.tree()}
    assert other.get("/v1/admin/models", headers=other.token).json()["wanted"]["change"] == 1
    assert other.get("/v1/admin/models", headers=one.token).status_code == 403
    assert (versions(one), versions(other)) == ({v_one}, {v_other})

    draw(other, 2)
    killed = other.folder
    for process in other.tree():
        process.send_signal(signal.SIGKILL)
    other.process.wait()
    again = Server(
        tmp_path / "log-again",
        {
            "models": tmp_path / "other",
            "engine": "onnxruntime",
            "workers": 2,
            "threads": 1,
            "drain_seconds": 0,
        },
        host="127.0.0.2",
        port=one.port,
        variables={"BENTOML_HOME": str(tmp_path / "home")},
    )
    try:
        wait_until(lambda: again.answers("/readyz"), seconds=60)
        assert counted(again) == (0, 0)
        assert versions(again) == {v_other}
        assert counted(one) == (3, 3)
        assert one.get("/readyz").json() == {"ready": True, "draining": False, "models": {"tiny": "ready"}}
        assert not killed.exists()
        state = asyncio.run(order(one, "reload"))
        assert set(state["wanted"]["models"]["tiny"]["versions"]) == {v_one}
        assert again.stop() == 0
        assert one.get("/readyz").status_code == 200
    finally:
        for process in again.tree():
            process.kill()
        again.process.wait()


def test_a_worker_that_starts_again_is_one_of_its_own_service(two):
    one, other = two
    draw(one, 4)
    wait_until(lambda: counted(one) == (4, 4))
    state = asyncio.run(order(one, "reload"))
    psutil.Process(state["workers"][0]["pid"]).kill()
    old = state["workers"][0]["pid"]

    def is_back() -> bool:
        reports = one.get("/v1/admin/models", headers=one.token).json()["workers"]
        return len(reports) == 2 and old not in {report["pid"] for report in reports}

    wait_until(is_back, seconds=60)
    state = asyncio.run(order(one, "reload"))
    assert set(state["wanted"]["models"]["tiny"]["versions"]) == {contract.version(ONE.file())}
    assert counted(one) == (4, 4), "what was counted stays counted"
    assert counted(other) == (0, 0)


def test_what_is_removed_while_it_runs_is_put_back_and_said(small_models, tmp_path):
    with serving(tmp_path / "home", models=small_models, default_model="tiny", engine="fake") as server:
        draw(server, 2)
        wait_until(lambda: counted(server)[0] == 2)
        for name in ("metrics", "desired"):
            shutil.rmtree(server.folder / name)
        draw(server, 1)
        wait_until(lambda: counted(server)[0] == 3)
        wait_until(lambda: server.get("/v1/admin/models", headers=server.token).json()["workers"])
        assert "is written anew" in server.log
        assert "was emptied" in server.log
        folder = server.folder
        server.stop()
        assert not folder.exists()
