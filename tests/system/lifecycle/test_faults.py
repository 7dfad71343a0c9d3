"""Engines that fail and hang, workers that die, disks that are full: by the fake engine, in real processes."""

import re
import shlex
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.machine.workers import NAME
from tests import generators
from tests.generators import Tiny
from tests.needs import allowed
from tests.system.gate import Gate
from tests.system.serving import Server, command, serving
from tests.waiting import wait_until

CONTAINER = {"BENTOML_CONTAINERIZED": "true"}
QUICK, SLOW = "", "0.02"  # seconds a pass: with the first the event loop is a lane


@pytest.fixture
def faults(tmp_path):
    return tmp_path / "faults"


@pytest.fixture
def faulty(tmp_path, faults):
    """Starts servers whose engine does what `faults` says."""
    models = generators.folder(tmp_path / "models", {"tiny": Tiny(golden_samples=0).file()})
    settings = {"models": models, "engine": "fake", "fake_faults": faults, "threads": 1, "max_batch": 8}

    def start(pace: str, variables: dict[str, str], **more):
        faults.write_text(pace)
        return serving(tmp_path / "home", variables=variables, **settings, **more)

    return start


def ended(server: Server) -> int:
    wait_until(lambda: server.process.poll() is not None and not server.tree(), seconds=40)
    return server.process.returncode


def test_a_pass_that_fails_harms_its_batch_and_one_that_hangs_ends_the_container(faulty, faults):
    with (
        faulty(SLOW, CONTAINER, watchdog_seconds=3) as server,
        ThreadPoolExecutor(5) as pool,
    ):
        gate = Gate(faults)
        gate.close()
        first = pool.submit(server.samples, seed=1)
        wait_until(gate.is_reached)  # so whoever comes now waits behind it
        together = [pool.submit(server.samples, seed=seed) for seed in range(2, 5)]
        wait_until(lambda: server.metric("ganserve_queue_images") == 3)
        gate.open("", then="fail")
        failed = [one.result() for one in together]
        assert first.result().status_code == 200
        assert [(reply.status_code, reply.json()["code"]) for reply in failed] == [(500, "engine_failed")] * 3
        (failure,) = {re.search(r"failure (\w+)", reply.json()["detail"])[1] for reply in failed}  # pyright: ignore[reportOptionalSubscript]
        said = [line for line in server.events if line.get("failure") == failure]
        assert [line["event"] for line in said] == ["pass_failed", *["request_failed"] * 3]
        assert "told to fail" in said[0]["error"]
        requests = {reply.headers["x-request-id"] for reply in failed}
        assert (len(requests), {line["request"] for line in said[1:]}) == (3, requests)
        faults.write_text(SLOW)
        assert server.samples(seed=5).status_code == 200

        faults.write_text("hang")
        begun = time.monotonic()
        hung = pool.submit(server.samples, seed=6, timeout=1)
        wait_until(lambda: server.answers("/livez"))
        assert hung.result().json()["code"] == "deadline_passed", "deadlines hold meanwhile"
        assert ended(server) != 0
        assert time.monotonic() - begun < 3 + 15  # BentoML looks after its workers every few seconds
        assert "A forward pass of tiny runs: this process ends" in server.log
        (end,) = (line for line in server.events if line["event"] == "watchdog_ends")
        assert "in _obey" in end["threads"], "where it hangs is in the log"


def test_an_event_loop_that_hangs_is_started_anew(faulty, faults):
    with faulty(QUICK, {}, watchdog_seconds=2) as server:
        (hanging,) = [one.pid for one in server.workers() if one.name() == NAME]
        counted = server.metric("ganserve_watchdog_ends")
        gate = Gate(faults)
        gate.close()
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(server.samples, seed=1)
            wait_until(gate.is_reached)
            gate.open("hang")  # that one alone: a worker that starts again may load at once
            wait_until(lambda: "this process ends" in server.log)
            assert lost.exception() is not None
            wait_until(lambda: server.answers("/readyz"), seconds=40)
        assert server.samples(seed=1).status_code == 200
        assert server.metric("ganserve_watchdog_ends") == counted + 1
        assert hanging not in {one.pid for one in server.workers()}


def test_a_worker_that_dies_takes_a_container_of_several_down_and_the_others_finish(faulty):
    with faulty(QUICK, CONTAINER, workers=2, drain_seconds=3) as server:
        workers = [one for one in server.workers() if one.name() == NAME]
        assert len(workers) == 2
        workers[0].send_signal(signal.SIGKILL)
        statuses = []
        with server.client() as client:
            wait_until(lambda: statuses.append(client.get("/readyz").status_code) or statuses[-1] == 503)
            assert client.post("/v1/samples", json={"seed": 1}).status_code == 200
        assert ended(server) == 0
        assert "a worker has died" in server.log


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def test_it_serves_from_a_read_only_disk_and_beside_a_full_one_and_a_full_log(tmp_path, small_models):
    """Everything is read-only, but for a folder of 1 MB in memory, which fills up; the log is full from the start."""
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    allowed(tried.returncode == 0, "only who may mount can make a disk that is small or read-only")
    room = tmp_path / "room"
    room.mkdir()
    served = tmp_path / "served"
    script = f"""
        mount -t tmpfs -o size=1m tmpfs {room}
        mount -o remount,bind,ro /
        touch /read-only 2> /dev/null && exit 9
        export BENTOML_HOME={room}/home TMPDIR={room} PYTHONDONTWRITEBYTECODE=1
        exec {{}} > /dev/full 2>&1
    """
    arguments = [
        "unshare",
        "-m",
        "sh",
        "-e",
        "-c",
        script.format(shlex.join(command(0)).replace(" 0", " {port}")),
    ]
    with serving(
        served, arguments=arguments, models=small_models, engine="fake", default_model="tiny"
    ) as server:
        assert server.samples(seed=1).status_code == 200
        inside = Path(f"/proc/{server.process.pid}/root") / room.relative_to("/")
        with pytest.raises(OSError, match="No space left"):
            fill(inside / "filler")
        for seed in range(20):
            assert server.samples(seed=seed, model="bare").status_code == 200
        assert server.metric("ganserve_images_total", model="bare") == 20
        (inside / "filler").unlink()
        assert server.samples(seed=1).status_code == 200
        assert server.metric("ganserve_images_total", model="tiny") == 2
