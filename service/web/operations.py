"""What operators ask: alive, ready, metrics, drain."""

import asyncio
from ipaddress import IPv6Address, ip_address
from typing import Any

import msgspec

from service import metrics
from service.errors import LocalOnly
from service.web.asgi import Call, Reply, Scope, header

DRAIN = "/v1/admin/drain"
# What says that somebody else asks: through a proxy on this machine, or from a page in its browser.
_OF_OTHERS = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via", b"origin")


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


async def post_drain(call: Call) -> Reply:
    """POST /v1/admin/drain: what SIGTERM does. Asked again, it changes nothing."""
    if call.charge is None:  # no keys are configured; with them, the key has the scope
        require_local(call.scope)
    call.drain()
    settings = call.models.settings
    body = {"draining": True, "grace_seconds": settings.drain_seconds}
    return Reply(202, "application/json", msgspec.json.encode(body), {"cache-control": "no-store"})


def require_local(scope: Scope) -> None:
    """Raises LocalOnly unless a program on this machine asks, and not on behalf of somebody elsewhere."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ip_address(host)
    except ValueError:
        local = False
    else:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        local = (mapped or address).is_loopback
    if not local or any(header(scope, name) is not None for name in _OF_OTHERS):
        raise LocalOnly("Only a program on the machine itself may ask this, and not through a proxy.")
