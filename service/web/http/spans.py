"""Spans of requests that have ended, to where OpenTelemetry's own environment variables say.

A request's span has three children: waiting in the queue, the forward pass, encoding. A pass that several requests rode in
has a span in a trace of its own, which each of theirs links to. All are written when the request is over, from the times
that it took down anyway. Probes and metrics have none.
"""

import logging
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from service.batching.request_queue import Ride
from service.drawing.draw import Draw
from service.web.http.trace import TRACEPARENT

log = logging.getLogger("bentoml.ganserve.web")

_UNTRACED = re.compile(
    r"/(livez|healthz|readyz|metrics|v2/health/\w+|playground/pulse)|/inference\.\w+/Server(Live|Ready)"
)
_OURS = "0" * 16
"""In the place of a parent: a trace that begins here."""
_MOST_PASSES = 1024


class Spans:
    """Of one worker; on its event loop. Without the variables nothing is imported, and nothing done."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._tracer: Any = None
        wanted = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        )
        if not wanted or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return
        if environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            log.warning(
                "no spans are sent: pip install opentelemetry-exporter-otlp-proto-http",
                extra={"event": "no_spans"},
            )
            return
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class Ids(RandomIdGenerator):
            """Of traces that begin here: the one that the log has named already, if it has."""

            named: int | None = None

            def generate_trace_id(self) -> int:
                given, self.named = self.named, None
                return given or super().generate_trace_id()

        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have their say in Resource.create.
        named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "ganserve"}
        self._ids = Ids()
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("ganserve")
        self._passes: OrderedDict[Ride, Any] = OrderedDict()

    def traceparent(self, given: str | None) -> str | None:
        """What the client sent; where it sent none and spans are sent, a trace that begins here."""
        if self._tracer is None or TRACEPARENT.fullmatch(given or ""):
            return given
        return f"00-{secrets.token_hex(16)}-{_OURS}-01"

    def record(
        self,
        route: str,
        method: str,
        code: int,
        begun: float,
        traceparent: str | None,
        draw: Draw | None = None,
        media_type: str = "",
    ) -> None:
        """One finished request; a child of the client's span, if it sent one.

        begun: when its head came, in time.monotonic() seconds. draw: what it asked for, if that was understood. media_type: of what it got.
        """
        if self._tracer is None or _UNTRACED.fullmatch(route):
            return
        # Spans are in wall time, requests in time.monotonic().
        ended, shift = time.monotonic(), time.time() - time.monotonic()
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent or ""})
        if traceparent and traceparent[36:52] == _OURS:
            self._ids.named = int(traceparent[3:35], 16)
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": code,
        }
        if draw is not None:
            attributes |= _attributes(draw) | {"ganserve.images": len(draw.z), "ganserve.format": media_type}
        span = self._tracer.start_span(
            f"{method} {route}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=int((begun + shift) * 1e9),
            attributes=attributes,
        )
        if code >= 500 and code != 503:  # which is no fault: it starts, or it ends
            span.set_status(StatusCode.ERROR)
        if draw is not None and draw.timing.ride is not None and span.is_recording():
            self._stations(draw, draw.timing.ride, set_span_in_context(span), shift)
        span.end(end_time=int((ended + shift) * 1e9))

    def _stations(self, draw: Draw, ride: Ride, inside: Any, shift: float) -> None:
        from opentelemetry.trace import Link

        timing = draw.timing
        begun = ride.ended_at - timing.forward_seconds
        link = Link(self._pass(draw, ride, shift))
        for name, start, end, more, links in (
            ("queue", begun - timing.queue_seconds, begun, {}, []),
            ("forward", begun, ride.ended_at, {"ganserve.batch.images": ride.images}, [link]),
            ("encode", ride.ended_at, ride.ended_at + timing.encode_seconds, {}, []),
        ):
            span = self._tracer.start_span(
                name, inside, attributes=more, links=links, start_time=int((start + shift) * 1e9)
            )
            span.end(end_time=int((end + shift) * 1e9))

    def _pass(self, draw: Draw, ride: Ride, shift: float) -> Any:
        """The context of the span of a pass, which the first to come of its requests writes."""
        from opentelemetry.context import Context

        if ride not in self._passes:
            span = self._tracer.start_span(
                "forward pass",
                Context(),
                attributes=_attributes(draw) | {"ganserve.batch.images": ride.images},
                start_time=int((ride.began_at + shift) * 1e9),
            )
            span.end(end_time=int((ride.ended_at + shift) * 1e9))
            self._passes[ride] = span.get_span_context()
            if len(self._passes) > _MOST_PASSES:
                self._passes.popitem(last=False)
        return self._passes[ride]

    def close(self) -> None:
        """Send what is left."""
        if self._tracer is not None:
            self._provider.shutdown()


def _attributes(draw: Draw) -> dict[str, str]:
    model = draw.model
    return {
        "ganserve.model": model.name,
        "ganserve.version": model.version,
        "ganserve.engine": model.engine.name,
    }
