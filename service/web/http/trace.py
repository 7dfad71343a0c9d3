"""Which request this is, for logs and for whoever traces it: x-request-id, W3C traceparent."""

import itertools
import re
import secrets

_GIVEN = re.compile(r"[\x21-\x7e]{1,128}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_worker = secrets.token_hex(6)
_number = itertools.count(1)


def request_id(given: str | None) -> str:
    """The client's own x-request-id, if it has 1 to 128 visible ASCII characters; else one of ours."""
    return given if given is not None and _GIVEN.fullmatch(given) else f"{_worker}-{next(_number):x}"


def who(id: str, traceparent: str | None) -> dict[str, str]:
    """How a log line names a request (logs.py). traceparent: as the client sent it; left out if it is malformed."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    return {"request": id} | ({"trace": match[1]} if match else {})
