"""What /openapi.json says of the playground and of /docs."""

from typing import Any

from service.errors import UnknownRoute
from service.web.http.openapi_parts import Errors, Object, answer, in_path, media, operation, problems

STRUCTS: list[Any] = []
FIELDS: dict[str, dict[str, str]] = {}

_CACHING = {"etag": "Of these bytes.", "cache-control": "To be asked for again each time."}


def _page(summary: str, *kinds: str, errors: Errors = (), **parts: Any) -> Object:
    answers = {
        "200": answer("It asks no other host for anything.", media(*kinds), _CACHING),
        "304": answer("The client's copy is good.", headers=_CACHING),
    }
    return {"get": operation(summary, answers | problems(errors), **parts)}


PATHS: Object = {
    "/": _page("The playground, to look at what is served", "text/html"),
    "/playground/{file}": _page(
        "A file of the playground",
        *("text/javascript", "text/css"),
        errors=(UnknownRoute,),
        parameters=in_path(file="Name of a script or style sheet."),
    ),
    "/docs": {
        "get": operation(
            "This document, to read", {"200": answer("A page.", media("text/html"))} | problems(())
        )
    },
}
