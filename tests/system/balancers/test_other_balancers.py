"""Two replicas behind HAProxy, Caddy and Envoy with the shipped snippets: what nginx does for clients, as far as each can."""

import re
import signal
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from service.settings import Settings
from tests import generators
from tests.generators import Tiny
from tests.system.balancers import others as other_balancers
from tests.system.balancers.balancer import Load
from tests.system.balancers.test_nginx import Replica
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    models = generators.folder(tmp_path_factory.mktemp("models"), {"tiny": Tiny().file()})
    both = [Replica(tmp_path_factory.mktemp("replica"), models) for _ in range(2)]
    try:
        for replica in both:
            replica.wait()
        yield both
    finally:
        for replica in both:
            replica.end()


COMMANDS = (
    other_balancers.haproxy,
    other_balancers.caddy,
    other_balancers.envoy,
    other_balancers.caddy_of_debian,
)


@pytest.fixture(scope="module")
def balancers(replicas, tmp_path_factory):
    """All of them in front of the same replicas. The last is Debian's older Caddy."""
    ports = [replica.port for replica in replicas]
    with ExitStack() as stack:
        found = []
        for command in COMMANDS:
            folder = tmp_path_factory.mktemp(command.__name__)
            found.append(stack.enter_context(other_balancers.running(command, folder, ports)))
        yield found


@contextmanager
def asking(balancers, clients=3):
    """So many clients of each."""
    with ExitStack() as stack:
        yield [stack.enter_context(Load(balancer, clients=clients)) for balancer in balancers]


def asks(balancer, replica: Replica) -> bool:
    """Whether the balancer sends it requests: of a path that nobody else asks for, at least one of a few gets there."""

    def came() -> float:
        return replica.server.metric("ganserve_requests_total", route="/v1/models/{model}")

    before = came()
    with balancer.client() as client:
        assert {client.get("/v1/models/tiny").status_code for _ in range(4)} == {200}
    return came() > before


def test_all_replicas_restarted_one_after_another_cost_no_request(balancers, replicas):
    with asking(balancers) as loads:
        for replica in replicas:
            replica.server.process.send_signal(signal.SIGTERM)
            assert replica.server.process.wait(30) == 0
            replica.start()
            replica.wait()
            # HAProxy looks once a second: were the other one ended before that, it would know of none.
            for balancer in balancers:
                wait_until(lambda balancer=balancer, replica=replica: asks(balancer, replica))
            for load in loads:
                load.more()
    assert [load.lost for load in loads] == [[], [], [], []]


def test_a_replica_killed_under_load_costs_no_request_but_of_debians_caddy_until_it_has_looked(
    balancers, replicas
):
    replica = replicas[0]
    *others, debians = balancers
    found_dead = f"{replica.port}/readyz"  # in a line about each look that failed
    before = debians.said.read_text().count(found_dead)
    # More than the three that Envoy asks again at once by default.
    with asking(others, clients=6) as loads:
        parent = psutil.Process(replica.server.process.pid)
        for process in (parent, *parent.children(recursive=True)):
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: replica.server.process.poll() is not None and not replica.server.tree())
        for load in loads:
            load.more()
        # Before 2.11 it can't send a body twice, and tells a POST that meets the dead one so; once it has looked, none does.
        wait_until(lambda: debians.said.read_text().count(found_dead) > before)
        with asking([debians]) as (later,):
            later.more()
    assert [load.lost for load in (*loads, later)] == [[], [], [], []]


def test_a_clients_name_for_its_request_reaches_the_replica_as_it_is(balancers):
    given = "00000000-0000-4000-8000-000000000000"
    for balancer in balancers:
        with balancer.client(headers={"x-request-id": given}) as client:
            assert client.get("/v1/models").headers["x-request-id"] == given


def test_what_is_for_operators_is_not_for_clients_and_no_replica_is_told_as_such(balancers, replicas):
    for replica in replicas:
        replica.server.stop()
    for balancer in balancers:
        with balancer.client() as client:
            for path in ("/metrics", "/v1/admin/models"):
                assert client.get(path).status_code == 404
            # One is enough: Caddy looks for a replica for as long as lb_try_duration says before it gives up.
            wait_until(lambda client=client: _loses(client), seconds=60)


def test_caddy_looks_for_a_replica_for_longer_than_one_may_take_to_answer():
    """Else a replica that ends late would cost its requests. Above it gives up sooner (others.py)."""
    shipped = other_balancers.CADDYFILE.read_text()
    tries, answers = (
        int(re.findall(rf"(?m)^\s+{name} (\d+)s$", shipped)[0])
        for name in ("lb_try_duration", "response_header_timeout")
    )
    assert tries > answers > Settings().timeout_seconds


def _loses(client) -> bool:
    """Whether it is told that nobody is left, and when to come again."""
    reply = client.post("/v1/samples", json={"seed": 1})
    if reply.status_code != 503:
        return False
    assert (reply.json()["code"], reply.headers["retry-after"]) == ("no_replica", "1")
    return True
