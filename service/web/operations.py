"""What operators ask: alive, ready, metrics, drain."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from typing import Any

import msgspec

from service import metrics
from service.errors import LocalOnly
from service.web.asgi import Call, Reply, header

DRAIN = "/v1/admin/drain"
# One: each that makes an answer has the interpreter's lock for 15 ms, which the event loop waits for.
_metrics_thread = ThreadPoolExecutor(1, "metrics")
# What says that somebody else asks: through a proxy on this machine, or from a page in its browser.
_OF_OTHERS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via", b"origin")
_HOST = re.compile(r"([\w.-]+|\[[0-9a-f:]+\])(?::\d+)?", re.ASCII)


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
    text = await asyncio.get_running_loop().run_in_executor(_metrics_thread, metrics.exposition)
    return Reply(200, metrics.CONTENT_TYPE, text, {"cache-control": "no-store"})


async def post_drain(call: Call) -> Reply:
    """POST /v1/admin/drain: what SIGTERM does. Asked again, it changes nothing."""
    require_operator(call)
    call.drain()
    settings = call.models.settings
    body = {"draining": True, "grace_seconds": settings.drain_seconds}
    return Reply(202, "application/json", msgspec.json.encode(body), {"cache-control": "no-store"})


def require_operator(call: Call) -> None:
    """With API keys, whoever has come so far has the scope; without, only a program on this machine. Raises LocalOnly.

    A proxy on this machine is as near as its user, so what it says of itself counts, and a name of this machine must
    be asked for: a web page that has its own name point here would send that.
    """
    if call.charge is not None:
        return
    client = call.scope.get("client")
    asked_for = _HOST.fullmatch((header(call.scope, b"host") or "").lower())
    near = client is not None and _is_loopback(client[0])
    ours = asked_for is not None and (asked_for[1] == "localhost" or _is_loopback(asked_for[1].strip("[]")))
    if not (near and ours) or any(header(call.scope, name) is not None for name in _OF_OTHERS):
        raise LocalOnly(
            "Only a program on the machine itself may ask this, at localhost and without a proxy, as long as no API "
            "keys are configured."
        )


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
