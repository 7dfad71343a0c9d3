"""A real Prometheus with the shipped configuration, asking a real service."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.prometheus import monitoring
from tests.needs import program
from tests.system.serving import free_port, serving
from tests.waiting import wait_until

# Nothing may have been refused, nothing dropped; there are no keys, and nothing is watched.
MAY_BE_EMPTY = {
    "Refused before they were queued",
    "Accepted and not answered",
    "Failed, by version",
    "Requests by key",
    "Images by key",
    "Distance to real images",
    "Class accuracy and diversity",
}


def test_prometheus_own_linter_has_nothing_to_say_about_the_metrics(server):
    server.samples(seed=1)
    said = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=server.get("/metrics").text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> httpx.Response:
        return httpx.get(self._url + path, params=query, trust_env=False, timeout=30)

    def answers(self) -> bool:
        try:
            return self.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        reply = self.get("/api/v1/query", query=expression).json()
        assert reply["status"] == "success", (expression, reply)
        return reply["data"]["result"]

    def last_visit(self, job: str) -> tuple[str, str]:
        """How that to the job's one target went, and the error; unknown before the first."""
        targets = self.get("/api/v1/targets", state="active").json()["data"]["activeTargets"]
        found = [target for target in targets if target["labels"]["job"] == job]
        return (found[0]["health"], found[0]["lastError"]) if found else ("unknown", "")

    def rules(self) -> list[dict[str, Any]]:
        groups = self.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, target: int, key: str = "") -> Iterator[Prometheus]:
    """The shipped configuration, except that it asks this port, and every half second. key: empty, as Compose mounts none."""
    (folder / "key").write_text(key)
    config = yaml.safe_load((monitoring.DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        if authorization := job.get("authorization"):
            authorization["credentials_file"] = str(folder / "key")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules.yml").write_bytes(monitoring.RULES.read_bytes())
    port = free_port()
    command = [
        program("prometheus", "prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: Prometheus(port).answers() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def asked(server, tmp_path_factory):
    """A Prometheus that has seen the service at work."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), server.port) as one:
        server.samples(seed=1, n=64, model="slow", timeout=0.05)
        # A rate is seen between two visits, so requests come until there is one.
        rate = 'sum(increase(ganserve_images_total{job="ganserve", model="tiny"}[1m])) > 0'
        wait_until(lambda: server.samples(n=4) and one.query(rate))
        yield one


def test_every_panel_of_the_dashboard_has_something_to_show(asked):
    for title, query, legend in monitoring.panel_queries():
        result = asked.query(query)
        assert result or title in MAY_BE_EMPTY, (title, query)
        for series in result:
            assert legend <= series["metric"].keys(), (title, series)


def test_prometheus_evaluates_every_alert_and_none_fires(asked):
    wait_until(lambda: all(rule["health"] != "unknown" for rule in asked.rules()))
    assert len(asked.rules()) == len(monitoring.alerts())
    assert {rule["name"]: rule["lastError"] for rule in asked.rules() if rule.get("lastError")} == {}
    assert {rule["name"] for rule in asked.rules() if rule["state"] == "firing"} == set()


@pytest.mark.parametrize("key", ["one-for-metrics-1", ""])
def test_where_there_are_keys_prometheus_needs_the_one_that_compose_mounts(small_models, tmp_path, key):
    keys = "prometheus:one-for-metrics-1:metrics"
    with (
        serving(
            tmp_path / "home", models=small_models, default_model="tiny", engine="fake", api_keys=keys
        ) as one,
        prometheus(tmp_path, one.port, key) as watching,
    ):
        # A visit that took more than half a second, as on a busy machine, tells nothing; the next one does.
        wanted = ("up", "") if key else ("down", "server returned HTTP status 401 Unauthorized")
        wait_until(lambda: watching.last_visit("ganserve") == wanted)
