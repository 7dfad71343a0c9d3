"""A part of `make image-test`: what Compose brings up is broken under load, on a list of replicas that changes by DNS."""

import pytest

from benchmarks.clients.asking import Load
from benchmarks.faults import broken
from tests.deploy.podman import composed, containers

FAULTS = ("kill -9 of a replica", "nginx -s reload", "scale to 1, to 3, to 2")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed")
    engine = containers.podman(folder)
    containers.build(engine, folder / "image")
    with composed.composed(engine, folder) as (one, port):
        yield one, Load(port)


def test_what_befalls_one_part_costs_no_client_an_image(deployment):
    one, load = deployment
    outcomes = [broken(one, load, fault, around_seconds=1) for fault in FAULTS]
    assert [complaint for outcome in outcomes for complaint in outcome.complaints()] == []
    assert all(outcome.seen.answered > 100 for outcome in outcomes)


def test_it_is_scaled_to_as_many_replicas_as_asked_for_whatever_numbers_they_have(deployment):
    one, _ = deployment
    one.remove(one.of("ganserve")[0])
    (left,) = one.of("ganserve")
    one.scale(1)
    assert one.of("ganserve") == [left]
