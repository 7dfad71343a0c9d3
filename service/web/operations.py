"""What operators ask: alive, ready, metrics."""

import asyncio
from typing import Any

import msgspec

from service import metrics
from service.web.asgi import Call, Reply


async def livez(call: Call) -> Reply:
    """GET /livez: the event loop runs."""
    return Reply(200, "text/plain", b"alive\n")


async def readyz(call: Call) -> Reply:
    """GET /readyz: 200 if every model is loaded, warmed and golden-checked, and the service is not draining.

    At the start that goes for every worker, since the next request may meet any of them.
    """
    models, draining = call.models, call.draining
    states = {model.name: model.state for model in models.values()}
    if models.all_ready and not models.started:
        models.started = models.settings.workers == 1 or metrics.ready_workers() >= models.settings.workers
    ready = models.all_ready and models.started and not draining
    body: dict[str, Any] = {"ready": ready, "draining": draining, "models": states}
    if models.problem:
        body["problem"] = models.problem
    return Reply(
        200 if ready else 503, "application/json", msgspec.json.encode(body), {"cache-control": "no-store"}
    )


async def get_metrics(call: Call) -> Reply:
    """GET /metrics: Prometheus' text format, all workers together."""
    return Reply(
        200, metrics.CONTENT_TYPE, await asyncio.to_thread(metrics.exposition), {"cache-control": "no-store"}
    )
