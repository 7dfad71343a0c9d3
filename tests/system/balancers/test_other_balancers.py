"""Two replicas behind HAProxy and Caddy with the shipped snippets: what nginx does for clients, as far as each can."""

import signal
from contextlib import ExitStack

import psutil
import pytest

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


@pytest.fixture(scope="module")
def all_three(replicas, tmp_path_factory):
    """HAProxy, Caddy and Debian's older Caddy, in front of the same replicas."""
    ports = [replica.port for replica in replicas]
    with ExitStack() as stack:
        found = []
        starts = (other_balancers.haproxy, other_balancers.caddy, other_balancers.caddy_of_debian)
        for start in starts:
            folder = tmp_path_factory.mktemp(start.__name__)
            found.append(stack.enter_context(other_balancers.running(start(folder, ports), folder, ports)))
        yield found


def test_all_replicas_restarted_one_after_another_cost_no_request(all_three, replicas):
    with (
        Load(all_three[0], clients=4) as one,
        Load(all_three[1], clients=4) as other,
        Load(all_three[2], clients=4) as third,
    ):
        for replica in replicas:
            replica.server.process.send_signal(signal.SIGTERM)
            assert replica.server.process.wait(30) == 0
            replica.start()
            replica.wait()
            for load in (one, other, third):
                load.more()
    assert (one.lost, other.lost, third.lost) == ([], [], [])


def test_a_replica_killed_under_load_costs_no_request_but_of_debians_caddy_those_on_it(all_three, replicas):
    replica = replicas[0]
    with Load(all_three[0], clients=4) as one, Load(all_three[1], clients=4) as other:
        parent = psutil.Process(replica.server.process.pid)
        for process in (parent, *parent.children(recursive=True)):
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: replica.server.process.poll() is not None and not replica.server.tree())
        one.more()
        other.more()
        # Before 2.11 it can't send a body twice; what comes later goes elsewhere.
        with Load(all_three[2], clients=4) as later:
            later.more()
    assert (one.lost, other.lost, later.lost) == ([], [], [])


def test_what_is_for_operators_is_not_for_clients_and_no_replica_is_told_as_such(all_three, replicas):
    for replica in replicas:
        replica.server.stop()
    for balancer in all_three:
        with balancer.client() as client:
            for path in ("/metrics", "/v1/admin/models"):
                assert client.get(path).status_code == 404
            wait_until(lambda: client.post("/v1/samples", json={"seed": 1}).status_code == 503)
            lost = client.post("/v1/samples", json={"seed": 1})
            told = (lost.status_code, lost.json()["code"], lost.headers["retry-after"])
            assert told == (503, "no_replica", "1")
