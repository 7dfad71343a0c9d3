"""Real services' metrics, seen twice and drawn out for as long as a rule looks; and what the rules say of them."""

import math
import subprocess
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.prometheus import monitoring
from tests.needs import program
from tests.system.serving import Server

INTERVAL_SECONDS = 10
LASTS_SECONDS = 3600
"""More than the longest `for` and the longest range together."""
_STEPS = LASTS_SECONDS // INTERVAL_SECONDS

Seen = dict[tuple[str, frozenset[tuple[str, str]]], float]


def visit(server: Server) -> Seen:
    """Every series that a visit of Prometheus would find."""
    families = text_string_to_metric_families(server.get("/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def between(servers: Iterable[Server], situation: Callable[[], object]) -> list[dict[str, str]]:
    """promtool's input series of these services, as if the situation went on and on.

    Counters grow at each step by what they grew from one visit to the next, gauges stay as the second visit found them.
    """
    services = list(servers)
    first = [visit(one) for one in services]
    situation()
    return [
        series(name, {"job": "ganserve", "instance": f"replica-{number}", **dict(labels)}, values)
        for number, (one, before) in enumerate(zip(services, first, strict=True))
        for (name, labels), value in visit(one).items()
        if name in _asked_for()
        for values in (_drawn_out(name, before.get((name, labels), 0.0), value),)
    ]


@cache
def _asked_for() -> set[str]:
    """The metrics that any rule names."""
    return monitoring.names(" ".join(alert["expr"] for alert in monitoring.alerts()))


def grows(found: list[dict[str, str]], name: str, **labels: str) -> bool:
    """Whether a counter with these labels does."""
    wanted = [name + "{", *(f'{label}="{value}"' for label, value in labels.items())]
    of = [one for one in found if all(part in one["series"] for part in wanted)]
    return any("+0.0x" not in one["values"] for one in of)


def _drawn_out(name: str, before: float, after: float) -> str:
    is_counter = name.endswith(("_total", "_bucket", "_sum", "_count"))
    return f"{before}+{after - before}x{_STEPS}" if is_counter else f"{after}x{_STEPS}"


def up(*instances: int, job: str = "ganserve") -> list[dict[str, str]]:
    """Prometheus' own series: 1 for each target that answers, else 0."""
    return [
        series("up", {"job": job, "instance": f"replica-{number}"}, f"{is_up}x{_STEPS}")
        for number, is_up in enumerate(instances)
    ]


def ends(found: list[dict[str, str]], instance: str) -> list[dict[str, str]]:
    """The same, with an instance that is gone for the last half hour."""
    half = _STEPS // 2
    return [
        one | {"values": f"{one['values'].rpartition('x')[0]}x{half} stale"}
        if f'instance="{instance}"' in one["series"]
        else one
        for one in found
    ]


def then(before: list[dict[str, str]], after: list[dict[str, str]]) -> list[dict[str, str]]:
    """One situation for half of the time, and another for the rest of it."""
    half = f"x{_STEPS // 2}"
    old, new = ({one["series"]: one["values"].rpartition("x")[0] for one in seen} for seen in (before, after))
    return [
        {"series": name, "values": f"{old[name] + half if name in old else '_' + half} {new[name]}{half}"}
        if name in new
        else {"series": name, "values": f"{old[name]}{half} stale"}
        for name in {**old, **new}
    ]


def starts_again(found: list[dict[str, str]], route: str) -> list[dict[str, str]]:
    """The same, with requests to that route that are counted from 1 again every four minutes."""
    again = f'ganserve_requests_total{{code="200", instance="replica-0", job="ganserve", route="{route}"}}'
    assert again in {one["series"] for one in found}
    values = "1+1x24 " * (_STEPS // 25 + 1)
    return [one | {"values": values.strip()} if one["series"] == again else one for one in found]


def series(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    named = ", ".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return {"series": f"{name}{{{named}}}", "values": values}


def fire(found: list[dict[str, str]], expected: dict[str, str], folder: Path, maybe: str = "none") -> None:
    """Hold the shipped rules to these alerts, and no others, at the end of it. Raises AssertionError.

    expected: alert -> the label values that tell its instances apart, as `model=tiny`; empty where it has none.
    maybe: one that may fire beside them.
    """
    samples = [{"labels": _labels(name, of), "value": 1} for name, of in expected.items()]
    query = f'count by (alertname, model, instance) (ALERTS{{alertstate="firing", alertname!="{maybe}"}})'
    test: dict[str, Any] = {
        "rule_files": [str(monitoring.RULES)],
        # Every `for` is a multiple of it.
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": f"{INTERVAL_SECONDS}s",
                "input_series": found,
                "promql_expr_test": [
                    {"expr": query, "eval_time": f"{LASTS_SECONDS - 60}s", "exp_samples": samples}
                ],
            }
        ],
    }
    file = folder / "alerts.yml"
    file.write_text(yaml.safe_dump(test, width=math.inf))
    done = subprocess.run(
        [program("promtool", "prometheus"), "test", "rules", file], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def _labels(name: str, of: str) -> str:
    one = [f'{label}="{value}"' for label, _, value in (part.partition("=") for part in of.split()) if value]
    return "{" + ", ".join([f'alertname="{name}"', *one]) + "}"
