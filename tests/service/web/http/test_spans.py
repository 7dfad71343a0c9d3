import logging
from itertools import pairwise

import msgspec
import pytest

from service.web import routes
from service.web.http.spans import Spans
from tests.collector import attributes_of, collecting
from tests.service.web.site import Site

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced(site, monkeypatch):
    """The site with a collector; what it sent is there once it was closed."""
    with collecting() as collector:
        for name, value in collector.variables.items():
            monkeypatch.setenv(name, value)
        yield Site(site.front.models), collector


def test_no_spans_without_the_standard_variables():
    for off in ({}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} if off else {}
        spans = Spans(endpoint | off)
        assert spans._tracer is None
        assert spans.traceparent(None) is None
        spans.record("/v1/samples", "POST", 200, 0.1, PARENT)
        spans.close()


def test_a_sample_has_spans_of_its_stations_and_says_what_it_was(traced):
    site, collector = traced
    body = {"model": "tiny", "label": 7, "n": 3, "format": "webp"}
    site.ask("POST", "/v1/samples", json=body, headers={"traceparent": PARENT})
    site.front.spans.close()
    (span,) = collector.named("POST /v1/samples")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
    found = attributes_of(span)
    assert (found["ganserve.model"], found["ganserve.images"], found["ganserve.format"]) == (
        "tiny",
        3,
        "image/webp",
    )
    assert found["ganserve.version"] == site.front.models["tiny"].version
    assert found["ganserve.engine"] == "openvino"
    stations = collector.inside(span)
    assert list(stations) == ["queue", "forward", "encode"]
    times = [(one.start_time_unix_nano, one.end_time_unix_nano) for one in stations.values()]
    flat = [span.start_time_unix_nano, *(time for pair in times for time in pair), span.end_time_unix_nano]
    slack_nanoseconds = 1_000_000  # the clocks are read one after another
    assert all(later >= earlier - slack_nanoseconds for earlier, later in pairwise(flat))
    (ridden,) = collector.named("forward pass")
    assert [link.span_id for link in stations["forward"].links] == [ridden.span_id]
    assert ridden.trace_id != span.trace_id
    assert attributes_of(ridden)["ganserve.batch.images"] == 3
    assert collector.services == {"ganserve"}


def test_probes_and_metrics_have_no_spans_and_a_start_is_no_fault(traced, monkeypatch):
    site, collector = traced
    for path in ("/livez", "/readyz", "/metrics", "/v2/health/ready", "/v2/health/live"):
        site.get(path)
    site.front.spans.record("/v1/samples", "POST", 503, 0.1, None)
    site.front.spans.record("/v1/models", "GET", 500, 0.1, None)
    site.front.spans.close()
    assert {(span.name, span.status.code) for span in collector.spans} == {
        ("POST /v1/samples", 0),
        ("GET /v1/models", 2),
    }


def test_the_log_names_the_trace_also_where_the_client_named_none(traced, monkeypatch, caplog):
    async def broken(call):
        raise KeyError("the cause")

    site, collector = traced
    models = msgspec.structs.replace(routes._FIXED["/v1/models"]["GET"], handler=broken)
    monkeypatch.setitem(routes._FIXED["/v1/models"], "GET", models)
    with caplog.at_level(logging.ERROR, "bentoml.ganserve.web"):
        assert site.get("/v1/models").status_code == 500
    site.front.spans.close()
    (span,) = collector.spans
    assert span.parent_span_id == b""
    (record,) = caplog.records
    assert vars(record)["trace"] == span.trace_id.hex()
