"""What operators ask: alive, ready, metrics, drain."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from service import metrics
from service.registry.models import Models
from service.web.http.asgi import Call, Reply
from service.web.http.route import JSON, Answer, Route

DRAIN = "/v1/admin/drain"
# One: each that makes an answer has the interpreter's lock for 15 ms, which the event loop waits for.
_metrics_thread = ThreadPoolExecutor(1, "metrics")


async def livez(call: Call) -> Reply:
    """GET /livez: the event loop runs."""
    return Reply(200, "text/plain", b"alive\n")


async def readyz(call: Call) -> Reply:
    """GET /readyz: 200 if every model is loaded, warmed and golden-checked, and the service is not draining.

    A model that is `idle`, or was, is left out: a request for one that turns out to be broken must not take the
    service from all others.

    At the start that goes for every worker, since the next request may meet any of them.
    """
    models, draining = call.models, call.draining
    states = {model.name: model.state for model in models.values()}
    ready = is_ready(models, draining)
    body: dict[str, Any] = {"ready": ready, "draining": draining, "models": states}
    if models.problem:
        body["problem"] = models.problem
    return Reply(
        200 if ready else 503, "application/json", msgspec.json.encode(body), {"cache-control": "no-store"}
    )


def is_ready(models: Models, draining: bool) -> bool:
    """What /readyz says."""
    if models.all_ready and not models.started:
        models.started = models.settings.workers == 1 or metrics.ready_workers() >= models.settings.workers
    return models.all_ready and models.started and not draining


async def get_metrics(call: Call) -> Reply:
    """GET /metrics: Prometheus' text format, all workers together."""
    text = await asyncio.get_running_loop().run_in_executor(_metrics_thread, metrics.exposition)
    return Reply(200, metrics.CONTENT_TYPE, text, {"cache-control": "no-store"})


async def post_drain(call: Call) -> Reply:
    """POST /v1/admin/drain: what SIGTERM does. Asked again, it changes nothing."""
    call.drain()
    settings = call.models.settings
    body = {"draining": True, "grace_seconds": settings.drain_seconds}
    return Reply(202, "application/json", msgspec.json.encode(body), {"cache-control": "no-store"})


_OBJECT, _TEXT = {JSON: dict[str, Any]}, {"text/plain": str}
_ALIVE = {200: Answer("Alive.", _TEXT)}
_WHO = "With a key for admin, or with the service's own token, which that finds."
ROUTES = [
    Route("GET", "/livez", livez, None, "The process answers", _ALIVE),
    Route("GET", "/healthz", livez, None, "As /livez", _ALIVE),
    Route(
        *("GET", "/readyz", readyz, None),
        "Every model is loaded, warmed and golden-checked",
        {200: Answer("Ready.", _OBJECT), 503: Answer("Loading, failed or draining; says which.", _OBJECT)},
    ),
    Route(
        *("GET", "/metrics", get_metrics, "metrics"),
        "Prometheus metrics",
        {200: Answer("Text format.", _TEXT)},
    ),
    Route(
        *("POST", DRAIN, post_drain, "admin"),
        "Drain and end",
        {202: Answer("Not ready from now on; ends after the grace period.", _OBJECT)},
        text="What SIGTERM does, for a preStop hook or a script on the same machine: `python -m service.drain`. "
        + _WHO,
    ),
]
