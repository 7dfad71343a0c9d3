"""What operators ask: alive, ready, metrics, drain."""

import asyncio
import re
from ipaddress import IPv6Address, ip_address
from typing import Any

import msgspec

from service import metrics
from service.errors import LocalOnly
from service.web.asgi import Call, Reply, Scope, header

DRAIN = "/v1/admin/drain"
# What says that somebody else asks: through a proxy on this machine, or from a page in its browser.
_OF_OTHERS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via", b"origin")
_HOST = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\])(?::\d+)?", re.ASCII)


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
    require_operator(call)
    call.drain()
    settings = call.models.settings
    body = {"draining": True, "grace_seconds": settings.drain_seconds}
    return Reply(202, "application/json", msgspec.json.encode(body), {"cache-control": "no-store"})


def require_operator(call: Call) -> None:
    """For routes that change the service: a key for admin, which was looked at on the way in; without keys, the machine itself.

    Raises LocalOnly.
    """
    if call.charge is None:
        require_local(call.scope)


def require_local(scope: Scope) -> None:
    """Raises LocalOnly unless a program on this machine asks, and not on behalf of somebody elsewhere.

    A name of this machine must be asked for: a proxy here that says nothing of itself, and a web page that has its
    own name point here, ask for another.
    """
    asked_for = _HOST.fullmatch((header(scope, b"host") or "").lower())
    here = asked_for is not None and (asked_for[1] == "localhost" or _is_loopback(asked_for[1].strip("[]")))
    near = _is_loopback((scope.get("client") or ("",))[0])
    if not (here and near) or any(header(scope, name) is not None for name in _OF_OTHERS):
        raise LocalOnly(
            "Only a program on the machine itself may ask this, at localhost and not through a proxy, as long as no "
            "API keys are configured."
        )


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
