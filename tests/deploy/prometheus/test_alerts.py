"""What each alert is for, made on real services and put before the shipped rules: that fires, and nothing else.

alerts.yml has by hand when each begins, and the two alerts that go by Kubernetes' own metrics.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service import admin
from service.generator import contract
from tests import generators
from tests.deploy.prometheus import recorded
from tests.generators import Tiny
from tests.service import watched
from tests.system.serving import Server, serving
from tests.waiting import wait_until

PACE = "0.02"  # seconds a pass, so that none runs on the event loop
TWELVE = [f"m{number}" for number in range(12)]
OLD, NEW = Tiny(golden_samples=0).file(), Tiny(golden_samples=0, weights_seed=1).file()
V_OLD, V_NEW = contract.version(OLD), contract.version(NEW)


@dataclass
class Replicas:
    """Two of one configuration, whose engines do what a file says."""

    one: Server
    other: Server
    faults: Path
    folder: Path

    def flood(
        self, server: Server, models: list[str], requests: int = 60, leave_after: float = 60, **fields: object
    ) -> list[int]:
        """Ask for all of it at once. Returns the statuses, 0 where the client left after so many seconds."""

        def ask(number: int) -> int:
            asked = {"model": models[number % len(models)], "n": 8, "seed": number, **fields}
            with suppress(httpx.TimeoutException), server.client() as client:
                return client.post("/v1/samples", json=asked, timeout=leave_after).status_code
            return 0

        with ThreadPoolExecutor(requests) as pool:
            return list(pool.map(ask, range(requests)))

    def order(self, server: Server, route: str, **fields: object) -> str:
        return admin.order(server.url, route, fields)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    models = generators.folder(folder / "models", dict.fromkeys(TWELVE, OLD))
    (models / "m0/next.onnx").write_bytes(NEW)
    settings = {"models": models, "default_model": "m0", "engine": "fake", "threads": 1, "max_batch": 8}
    # Two hundred milliseconds are less than GanserveSlowQueue's half second, so that overload is seen alone.
    settings |= {"fake_faults": folder / "faults", "max_wait_seconds": 0.2, "max_images_per_request": 64}
    (folder / "faults").write_text(PACE)
    with ExitStack() as stack:
        # Of the first the queue is full before the wait is long.
        one = stack.enter_context(serving(folder / "one", max_queue_images=64, **settings))
        other = stack.enter_context(serving(folder / "other", **settings))
        yield Replicas(one, other, folder / "faults", folder)


@pytest.fixture(autouse=True)
def sound(request) -> None:
    """The engines as they were, where a test has replicas."""
    if "replicas" in request.fixturenames:
        replicas = request.getfixturevalue("replicas")
        replicas.faults.write_text(PACE)
        wait_until(lambda: replicas.one.samples(model="m1").status_code == 200)


def test_replicas_at_work_alert_nobody(replicas, tmp_path):
    found = recorded.between(
        (replicas.one, replicas.other), lambda: [replicas.one.samples(seed=seed) for seed in range(20)]
    )
    recorded.fire(found + recorded.up(1, 1), {}, tmp_path)


@pytest.mark.parametrize("models", [["m1"], TWELVE], ids=["one model", "twelve models"])
@pytest.mark.parametrize(("which", "reason"), [("one", "queue_full"), ("other", "wait")])
def test_overload_pages_whichever_limit_is_met(replicas, tmp_path, models, which, reason):
    server = getattr(replicas, which)
    found = recorded.between([server], lambda: replicas.flood(server, models))
    assert recorded.grows(found, "ganserve_refused_total", reason=reason)
    # What was accepted before the queue was full may wait long as well, on a machine that does much else.
    recorded.fire(found, {"GanserveOverloaded": ""}, tmp_path, maybe="GanserveSlowQueue")


def test_requests_that_wait_are_told_before_any_is_refused(replicas, tmp_path):
    replicas.faults.write_text("0.6")
    found = recorded.between([replicas.one], lambda: replicas.flood(replicas.one, ["m0"], requests=3))
    recorded.fire(found, {"GanserveSlowQueue": "model=m0"}, tmp_path)


def test_deadlines_that_pass_are_told(replicas, tmp_path):
    replicas.faults.write_text("0.3")
    # One alone: a second that came after the pass would be refused, since it would be late as well.
    found = recorded.between(
        [replicas.one], lambda: replicas.flood(replicas.one, ["m0"], requests=1, timeout=0.1)
    )
    recorded.fire(found, {"GanserveDeadlinesMissed": ""}, tmp_path)


def test_passes_that_fail_page(replicas, tmp_path):
    replicas.faults.write_text("fail")
    found = recorded.between([replicas.one], lambda: replicas.one.samples(model="m0"))
    recorded.fire(found, {"GanserveInternalErrors": ""}, tmp_path)


def test_clients_that_leave_are_told(replicas, tmp_path):
    # Who has left is asked after 0.25 and 0.75 s, and the second tells (half_closed.py): the last of four still waits then.
    replicas.faults.write_text("0.3")

    def leave() -> None:
        replicas.flood(replicas.one, ["m0"], requests=4, leave_after=0.05)
        wait_until(lambda: replicas.one.metric("ganserve_dropped_total", reason="disconnect") > 0)

    found = recorded.between([replicas.one], leave)
    recorded.fire(found, {"GanserveClientsLeave": ""}, tmp_path, maybe="GanserveSlowQueue")


def test_a_canary_is_told_where_only_some_replicas_have_it(replicas, tmp_path):
    def ask() -> None:
        for server in (replicas.one, replicas.other):
            server.samples(seed=1)

    for server, expected in ((replicas.one, {"GanserveReplicasDiffer": "model=m0"}), (replicas.other, {})):
        replicas.order(server, "models/m0", version=V_NEW, share=0.1)
        recorded.fire(recorded.between((replicas.one, replicas.other), ask), expected, tmp_path)
    for server in (replicas.one, replicas.other):
        replicas.order(server, "models/m0", version=V_OLD)
    recorded.fire(recorded.between((replicas.one, replicas.other), ask), {}, tmp_path)


def test_a_rollout_that_fails_changes_nothing_and_alerts_nobody(replicas, tmp_path):
    broken = replicas.folder / "models/m0/broken.onnx"
    broken.write_bytes(b"no model")

    def roll_out() -> None:
        for server in (replicas.one, replicas.other):
            with pytest.raises(OSError, match="version_refused"):
                replicas.order(server, "reload")
            assert server.samples(seed=1).headers["ganserve-version"] == V_OLD

    recorded.fire(recorded.between((replicas.one, replicas.other), roll_out), {}, tmp_path)


def test_one_replica_that_is_gone_is_missed(replicas, tmp_path):
    found = recorded.between((replicas.one, replicas.other), lambda: replicas.one.samples(seed=1))
    gone = recorded.ends(found, "replica-1") + recorded.up(1)
    recorded.fire(gone, {"GanserveReplicaMissing": ""}, tmp_path)


def test_one_that_is_started_again_and_again_is_told(replicas, tmp_path):
    found = recorded.between([replicas.one], lambda: replicas.one.samples(seed=1))
    again = recorded.starts_again(found, route="/metrics")
    recorded.fire(again, {"GanserveReplicaRestarts": "instance=replica-0"}, tmp_path)


def test_targets_that_prometheus_does_not_reach_are_told(replicas, tmp_path):
    found = recorded.between([replicas.one], lambda: replicas.one.samples(seed=1))
    down = {"GanserveReplicaDown": "instance=replica-1", "GanserveBalancerDown": "instance=replica-0"}
    recorded.fire([*found, *recorded.up(1, 0), *recorded.up(0, job="nginx")], down, tmp_path)


def test_a_model_that_is_not_what_it_says_keeps_its_replica_from_being_ready(tmp_path):
    models = generators.folder(tmp_path / "models", {"tiny": generators.with_other_golden()})
    with serving(tmp_path / "home", models=models, engine="onnxruntime", until="/livez") as server:
        wait_until(lambda: "failed" in server.get("/readyz").text)
        found = recorded.between([server], lambda: server.samples(seed=1))
    told = {"GanserveNoReplicaReady": "", "GanserveReplicaNotReady": "instance=replica-0"}
    recorded.fire(found, told, tmp_path)


def test_a_watched_model_that_draws_worse_is_told(tmp_path):
    models = generators.folder(tmp_path / "models", {"tiny": watched.permuted()})
    (models / "tiny/generator.watch").write_bytes(watched.watch())
    settings = {"models": models, "engine": "onnxruntime", "watch_share": 0.5}
    with serving(tmp_path / "home", **settings) as server:
        found = recorded.between(
            [server], lambda: wait_until(lambda: "ganserve_quality_ratio{" in server.get("/metrics").text)
        )
    recorded.fire(found, {"GanserveQualityLow": "instance=replica-0 model=tiny"}, tmp_path)


def test_another_engine_is_a_difference_and_one_that_hangs_pages_until_the_watchdog_ends_it(
    replicas, tmp_path
):
    """In a container, where nobody starts a worker anew."""
    faults = tmp_path / "faults"
    faults.write_text(PACE)
    settings = {"models": replicas.folder / "models", "default_model": "m0", "engine": "fake"}
    settings |= {
        "engines": "m1=onnxruntime/fp32",
        "threads": 1,
        "fake_faults": faults,
        "watchdog_seconds": 10,
    }
    with (
        serving(
            tmp_path / "home",
            variables={"BENTOML_CONTAINERIZED": "true"},
            **settings,
        ) as server,
        ThreadPoolExecutor(100) as pool,
    ):
        pair = recorded.between((replicas.other, server), lambda: server.samples(seed=1))
        recorded.fire(pair, {"GanserveReplicasDiffer": "model=m1"}, tmp_path)
        faults.write_text("hang")
        asked: list[Future[httpx.Response]] = []

        def nine_wait() -> bool:
            """Behind those that the pass has that hangs, however many came in time for it."""
            asked.append(pool.submit(server.samples, seed=1))
            return server.metric("ganserve_queue_images", model="m0") > 8

        found = recorded.between([server], lambda: wait_until(nine_wait))
        recorded.fire(found, {"GanserveEngineStuck": "instance=replica-0"}, tmp_path)
        wait_until(lambda: server.process.poll() is not None, seconds=40)
        assert "this process ends" in server.log
        for one in asked:
            with pytest.raises(httpx.TransportError):
                one.result()
    faults.write_text(PACE)
    with serving(tmp_path / "again", port=server.port, **settings) as again:
        after = recorded.between([again], lambda: again.samples(seed=1))
    recorded.fire(recorded.then(found, after), {"GanserveWatchdogEnds": "instance=replica-0"}, tmp_path)
