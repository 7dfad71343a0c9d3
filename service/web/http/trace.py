"""Which request this is, for logs and for whoever traces it: x-request-id, W3C traceparent, OpenTelemetry."""

import itertools
import logging
import os
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

log = logging.getLogger("bentoml.ganserve.web")

_GIVEN = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_worker = secrets.token_hex(6)
_number = itertools.count(1)


def request_id(given: str | None) -> str:
    """The client's own x-request-id, if it has 1 to 128 visible ASCII characters; else one of ours."""
    return given if given is not None and _GIVEN.fullmatch(given) else f"{_worker}-{next(_number):x}"


def who(id: str, traceparent: str | None) -> dict[str, str]:
    """How a log line names a request (logs.py). traceparent: as the client sent it; left out if it is malformed."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return {"request": id} | ({"trace": match[1]} if match else {})


class Spans:
    """A span a request, to where OpenTelemetry's own environment variables say. Nothing without them."""

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

        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have their say in Resource.create.
        named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "ganserve"}
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("ganserve")

    def record(self, route: str, method: str, code: int, seconds: float, traceparent: str | None) -> None:
        """One finished request; a child of the client's span, if it sent one."""
        if self._tracer is None:
            return
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ended = time.time_ns()
        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent or ""})
        span = self._tracer.start_span(
            f"{method} {route}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=ended - int(seconds * 1e9),
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": code,
            },
        )
        if code >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(end_time=ended)

    def close(self) -> None:
        """Send what is left."""
        if self._tracer is not None:
            self._provider.shutdown()
