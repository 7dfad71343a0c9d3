import re

import msgspec
import pytest

from service import errors
from service.errors import (
    ContractError,
    EngineFailed,
    InvalidField,
    MethodNotAllowed,
    NotReady,
    QueueFull,
    RequestError,
    ServiceError,
)
from service.web.http.problems import reply_to


def kinds(kind=None) -> list[type[RequestError | ServiceError]]:
    if kind is None:
        return kinds(RequestError) + kinds(ServiceError)
    # One without a code of its own is told as its parent is.
    own = [child for child in kind.__subclasses__() if "code" in vars(child)]
    return [one for child in own for one in (child, *kinds(child))]


def test_the_tree_in_the_docs_names_every_error_with_its_status_and_code():
    drawn = set(re.findall(r"─ (\w+)\s+(\d{3}) (\w+)", errors.__doc__ or ""))
    assert drawn == {(kind.__name__, str(kind.status), kind.code) for kind in kinds()}


def test_codes_are_unique_and_fit_a_label():
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]{3,40}", code) for code in codes)


def test_a_problem_has_the_fields_of_rfc_9457_and_our_code():
    reply = reply_to(EngineFailed("failure 3"))
    assert (reply.status, reply.media_type) == (500, "application/problem+json")
    assert msgspec.json.decode(reply.body) == {
        "type": "/docs#engine_failed",
        "title": "The forward pass failed",
        "status": 500,
        "code": "engine_failed",
        "detail": "failure 3",
    }


def test_an_invalid_field_is_named():
    assert msgspec.json.decode(reply_to(InvalidField("n", "too many")).body)["field"] == "n"


def test_headers_say_when_to_try_again_and_what_is_allowed():
    assert reply_to(QueueFull("full", 7)).headers == {"retry-after": "7"}
    assert reply_to(NotReady("loading")).headers == {"retry-after": "1"}
    assert reply_to(MethodNotAllowed("PUT", ["GET", "HEAD"])).headers == {"allow": "GET, HEAD"}


@pytest.mark.parametrize("kind", [errors.BodyTooLarge, errors.BodyTimeout])
def test_a_connection_whose_body_was_not_read_is_closed(kind):
    assert reply_to(kind("no more")).headers["connection"] == "close"


def test_an_error_that_is_no_answer_to_a_request_is_an_internal_one():
    reply = reply_to(ContractError("a model file", "write it anew"))
    assert (reply.status, msgspec.json.decode(reply.body)["code"]) == (500, "internal_error")
