"""schemathesis holds /openapi.json against a real server: no 5xx, and no answer that is not described."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as conformance

from service.settings import Settings
from service.web.openapi import document
from service.web.operations.probes import DRAIN
from service.web.routes import ROUTES

reference = schemathesis.openapi.from_dict(document(ROUTES, Settings()))
examples = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def no_failure(ctx: Any, response: Any, case: Any) -> None:
    """A 504 is none where the request itself gave no time."""
    body = case.body if isinstance(case.body, dict) else {}
    parameters = body.get("parameters")  # of KServe V1
    within = parameters if isinstance(parameters, dict) else body
    timeouts = [one.get("timeout") for one in (within, case.query or {})]  # the query is beside a picture
    impatient = any(isinstance(one, float | int) and one < 1 for one in timeouts)
    if not (response.status_code == 504 and impatient):
        checks.not_a_server_error(ctx, response, case)


CHECKS = [
    no_failure,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
]


def test_the_server_gives_this_document(server):
    assert server.get("/openapi.json").json() == document(ROUTES, Settings())


# The one would end the server, the other never ends.
@reference.exclude(path=DRAIN).exclude(path="/playground/pulse").parametrize()
@examples
def test_what_is_answered_is_described(case, server):
    case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=20)


@reference.include(path_regex="{model}").parametrize()
@examples
def test_what_is_answered_for_a_model_that_is_there_is_described(case, server):
    case.path_parameters["model"] = "tiny"
    case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=20)
