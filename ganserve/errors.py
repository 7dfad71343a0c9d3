"""What can go wrong between this client and a server.

GanserveError
├── Unreachable         no answer: refused, unknown host, broken off, or not in time
├── UnexpectedAnswer    an answer, but not one of ganserve: another program, or a proxy's page
└── Refused             the server's own no: its status, code, words and, where a field is at fault, field
"""

import email.utils
import json
import time
from collections.abc import Mapping

_MOST_TEXT = 300


class GanserveError(Exception):
    """Anything that this client raises on purpose; its text is one line for people."""


class Unreachable(GanserveError):
    """There was no answer."""


class UnexpectedAnswer(GanserveError):
    """There was an answer that ganserve does not give."""


class Refused(GanserveError):
    """The server said no; a busy one only after it was asked again for as long as the timeout allows.

    code: the server's own and stable, as its /docs list them, or `http_<status>` where it gave none.
    retry_after_seconds: how long to wait before asking again; None where that is no use.
    """

    def __init__(
        self, status: int, code: str, detail: str, field: str | None, retry_after_seconds: float | None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.field = field
        self.retry_after_seconds = retry_after_seconds


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """The error that an answer other than 2xx stands for. headers: names in lower case, or any case in httpx's."""
    problem = _problem(body)
    code = problem.get("code")
    detail = problem.get("detail") or problem.get("title")
    field = problem.get("field")
    if not isinstance(detail, str):
        detail = f"The server answered {status}"
        if location := headers.get("location"):
            detail += f", to be asked at {location}"
        elif not problem and body and "html" not in headers.get("content-type", ""):
            detail += f": {body[:_MOST_TEXT].decode(errors='replace')}"
        else:
            detail += "."
    return Refused(
        status,
        code if isinstance(code, str) else f"http_{status}",
        one_line(detail),
        field if isinstance(field, str) else None,
        _seconds(headers.get("retry-after")) if status in (429, 503) else None,
    )


def one_line(text: str) -> str:
    """Text of a server as one line that a terminal can be shown: no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _problem(body: bytes) -> dict:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(retry_after: str | None) -> float:
    """Retry-After, in seconds or as a date (RFC 9110, 10.2.3); a second where there is none that can be read."""
    if retry_after is None:
        return 1.0
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 1.0
