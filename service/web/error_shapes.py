"""Which shape errors have at a path: each foreign protocol has one of its own, also where it has no such route."""

from service.web.clients import openai_messages
from service.web.http import problems
from service.web.http.route import ErrorShape
from service.web.kserve import messages


def shape_at(path: str) -> ErrorShape:
    if path == "/v2" or path.startswith("/v2/"):
        return messages.ERRORS
    return openai_messages.ERRORS if path.startswith("/v1/images/") else problems.ERRORS
