"""What asks Prometheus for something: the alerts, the dashboard, the autoscaler's rule."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.system.serving import ROOT

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def panels() -> list[dict[str, Any]]:
    return json.loads((DEPLOY / "grafana/dashboards/ganserve.json").read_text())["panels"]


def panel_queries() -> list[tuple[str, str, set[str]]]:
    """Of each query on the dashboard: the panel's title, the query with Grafana's variables filled in, and the
    labels that its legend names."""
    return [
        (
            panel["title"],
            target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".+"),
            set(re.findall(r"{{(\w+)}}", target["legendFormat"])),
        )
        for panel in panels()
        for target in panel.get("targets", [])
    ]


def autoscaler_query(labels: str) -> str:
    """The adapter's query, as it asks about pods with these labels."""
    (rule,) = yaml.safe_load((DEPLOY / "kubernetes/prometheus-adapter.yaml").read_text())["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]
    filled = {"<<.Series>>": series, "<<.LabelMatchers>>": labels, "<<.GroupBy>>": "pod"}
    return re.sub(r"<<\.\w+>>", lambda match: filled[match[0]], rule["metricsQuery"])


def names(text: str) -> set[str]:
    """Our metrics that a query or a document names, as they are exposed."""
    return set(re.findall(r"\bganserve_[a-z_]+\b", text))


def tests_of_alerts() -> Path:
    return Path(__file__).parent / "alerts.yml"
