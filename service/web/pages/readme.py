"""GET /playground/cards/{model}: the README that lies beside a model's file, for the page to show what it says of data and licence."""

import asyncio

from service.errors import UnknownModel, UnknownRoute
from service.web.http.asgi import Call, Reply
from service.web.http.route import Answer, Parameter, Route

_MARKDOWN = "text/markdown; charset=utf-8"
_MOST_BYTES = 2**18


async def get_readme(call: Call, model: str) -> Reply:
    """GET /playground/cards/{model}. Raises UnknownModel; UnknownRoute where it has none."""
    path = call.models.find(model).path.with_name("README.md")
    try:
        text = await asyncio.to_thread(path.read_bytes)
    except OSError:
        raise UnknownRoute("That model has no README.md beside its file.") from None
    return Reply(200, _MARKDOWN, text[:_MOST_BYTES], {"cache-control": "no-cache"})


ROUTES = [
    Route(
        *("GET", "/playground/cards/{model}", get_readme, "sample"),
        "A model's README",
        {200: Answer("As it lies beside the model's file.", {"text/markdown": str})},
        (UnknownModel, UnknownRoute),
        parameters=(Parameter("model", "Model name."),),
    )
]
