"""Alerts and dashboard: valid, tested, explained, and about metrics that exist."""

import json
import re
import subprocess

import yaml
from prometheus_client.metrics import MetricWrapperBase

from service import metrics
from tests.deploy.prometheus import monitoring
from tests.deploy.prometheus.monitoring import DEPLOY
from tests.needs import program
from tests.system.serving import ROOT

OPERATIONS = (ROOT / "docs/operations.md").read_text()
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        [program("promtool", "prometheus"), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def defined() -> dict[str, list[str]]:
    """Metric -> the names that it is exposed under."""
    families = [f for m in vars(metrics).values() if isinstance(m, MetricWrapperBase) for f in m.describe()]
    names = {}
    for family in families:
        exposed = [family.name + suffix for suffix in SUFFIXES[family.type]]
        names[exposed[0] if family.type == "counter" else family.name] = exposed
    return names


def test_prometheus_reads_its_configuration_and_the_alerts(tmp_path):
    key = tmp_path / "key"
    key.touch()
    config = (DEPLOY / "prometheus/prometheus.yml").read_text().replace("/run/secrets/metrics_key", str(key))
    (tmp_path / "prometheus.yml").write_text(config)
    (tmp_path / "rules.yml").write_bytes(monitoring.RULES.read_bytes())
    found = f"{len(monitoring.alerts())} rules found"
    assert found in promtool("check", "config", tmp_path / "prometheus.yml")


def test_every_alert_fires_when_it_should_and_only_then():
    assert "SUCCESS" in promtool("test", "rules", monitoring.tests_of_alerts())
    cases = [
        case
        for test in yaml.safe_load(monitoring.tests_of_alerts().read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    alerts = {alert["alert"] for alert in monitoring.alerts()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


def test_every_metric_that_an_alert_panel_or_autoscaler_names_exists():
    exposed = {name for names in defined().values() for name in names}
    asked = [alert["expr"] for alert in monitoring.alerts()]
    asked += [query for _, query, _ in monitoring.panel_queries()]
    asked += [
        (DEPLOY / "kubernetes/prometheus-adapter.yaml").read_text().replace("seconds_p95", "seconds_sum")
    ]
    assert monitoring.names(" ".join(asked)) - exposed == set()


def test_every_alert_leads_to_what_to_do():
    anchors = {heading.strip().lower() for heading in re.findall(r"(?m)^#+ (.+)$", OPERATIONS)}
    for alert in monitoring.alerts():
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (file, anchor) == ("docs/operations.md", alert["alert"].lower())
        assert anchor in anchors
        assert alert["labels"]["severity"] in ("page", "ticket")


def test_the_table_of_alerts_says_of_each_what_made_it_fire():
    rows = [row for row in OPERATIONS.splitlines() if row.startswith("| [Ganserve")]
    named = [name for row in rows for name in re.findall(r"\[(Ganserve\w+)\]\(#", row.split(" | ")[0])]
    assert sorted(named) == sorted(alert["alert"] for alert in monitoring.alerts())
    # All but those of Kubernetes are tried on real services.
    tried = (ROOT / "tests/deploy/prometheus/test_alerts.py").read_text()
    by_hand = {name for row in rows if "series by hand" in row for name in re.findall(r"\[(\w+)\]", row)}
    assert {name for name in named if f'"{name}"' not in tried} == by_hand


def test_every_metric_is_explained():
    rows = re.findall(r"(?m)^\| `(ganserve_\w+)", OPERATIONS)
    assert set(defined()) - set(rows) == set()


def test_the_autoscaler_sees_zero_where_nothing_is_asked(tmp_path):
    query = monitoring.autoscaler_query('namespace="n",pod=~"a|b"')
    buckets = {"0.05": 50, "0.1": 100, "+Inf": 100}
    series = [
        {
            "series": f'ganserve_queue_seconds_bucket{{namespace="n", pod="a", model="m", le="{le}"}}',
            "values": f"0+{n}x20",
        }
        for le, n in buckets.items()
    ]
    series += [
        {
            "series": f'ganserve_queue_seconds_bucket{{namespace="n", pod="b", model="m", le="{le}"}}',
            "values": "7x20",
        }
        for le in buckets
    ]
    series += [
        {"series": f'ganserve_queue_seconds_count{{namespace="n", pod="{pod}", model="m"}}', "values": values}
        for pod, values in (("a", "0+100x20"), ("b", "7x20"))
    ]
    samples = [{"labels": '{pod="a"}', "value": 0.095}, {"labels": '{pod="b"}', "value": 0}]
    test = {
        "interval": "10s",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": "3m", "exp_samples": samples}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"tests": [test]}))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test.yml")


def test_the_dashboard_is_provisioned_from_the_same_prometheus():
    board = json.loads((DEPLOY / "grafana/dashboards/ganserve.json").read_text())
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/ganserve.yml").read_text())[
        "providers"
    ]
    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts
    used = set(re.findall(r'"uid": "(\w+)"', json.dumps(board["panels"] + board["templating"]["list"])))
    assert used == {source["uid"]}


def test_panels_do_not_overlap():
    cells = [
        (x, y)
        for panel in monitoring.panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
