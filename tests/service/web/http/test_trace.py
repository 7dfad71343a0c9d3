import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.web.http.trace import Spans, request_id, who

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_clients_request_id_comes_back_and_others_get_one_of_their_own(site):
    body = {"seed": 1}
    for path, options in (("/v1/samples", {"json": body}), ("/v1/samples", {"json": {"n": 0}})):
        reply = site.ask("POST", path, headers={"x-request-id": "order-66"}, **options)
        assert reply.headers["x-request-id"] == "order-66"
    ids = {site.get(path).headers["x-request-id"] for path in ("/livez", "/livez", "/nowhere")}
    assert len(ids) == 3


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "caf\xe9", "a\x7f", "a\tb", None])
def test_an_id_that_could_harm_a_log_or_a_header_is_replaced(given):
    assert request_id(given) != given
    assert request_id("x" * 128) == "x" * 128


def test_a_log_line_names_the_trace_that_the_client_is_in():
    assert who("7", PARENT) == {"request": "7", "trace": "0af7651916cd43dd8448eb211c80319c"}
    assert who("7", "00-nonsense") == who("7", None) == {"request": "7"}


def test_samples_say_where_their_time_went(site):
    timing = site.samples(seed=1).headers["server-timing"]
    parts = dict(part.split(";dur=") for part in timing.split(", "))
    assert list(parts) == ["queue", "forward", "encode"]
    assert float(parts["forward"]) > 0
    assert all(0 <= float(milliseconds) < 60_000 for milliseconds in parts.values())


def test_no_spans_without_the_standard_variables():
    spans = Spans({})
    spans.record("/v1/samples", "POST", 200, 0.1, PARENT)
    spans.close()
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert Spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} | off)._tracer is None


def test_a_collector_gets_a_span_that_is_a_child_of_the_clients(monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *args) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        spans = Spans()
        spans.record("/v1/samples", "POST", 500, 0.25, PARENT)
        spans.close()
        server.shutdown()
        thread.join()
    request = ExportTraceServiceRequest.FromString(b"".join(got))
    (resource,) = request.resource_spans
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (
        "POST /v1/samples",
        PARENT[3:35],
        PARENT[36:52],
    )
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert span.status.code == 2
    assert any(
        one.key == "service.name" and one.value.string_value == "ganserve"
        for one in resource.resource.attributes
    )
