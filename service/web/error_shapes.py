"""Which shape errors have at a path: each foreign protocol has one of its own, also where it has no such route."""

import re

from service.web.clients import openai_messages
from service.web.http import plain_errors, problems
from service.web.http.route import ErrorShape

# KServe V2 and V1; Hugging Face.
_PLAIN = re.compile(r"/v2(/.*)?|/v1/models/[^/]+:predict|/|/models/.*", re.DOTALL)


def shape_at(path: str) -> ErrorShape:
    if _PLAIN.fullmatch(path):
        return plain_errors.ERRORS
    return openai_messages.ERRORS if path.startswith("/v1/images/") else problems.ERRORS
