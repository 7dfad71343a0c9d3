"""What /v2 tells in JSON, as the messages of the same fields."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict

from service.web.grpc.messages import INFERENCE, kinds
from service.web.http.asgi import Call, Reply
from service.web.kserve import routes

Tell = Callable[[Call, Any], Awaitable[Reply]]


async def _index(call: Call, request: Any) -> Reply:
    return routes.repository(call.models, request.ready)


async def _statistics(call: Call, request: Any) -> Reply:
    return await routes.stats(call, request.name or None, request.version or None)


async def _load_or_unload(call: Call, request: Any) -> Reply:
    return await routes.load_or_unload(call, request.model_name)


def _of_model(tell: Callable[[Call, str, str | None], Awaitable[Reply]]) -> Tell:
    return lambda call, request: tell(call, request.name, request.version or None)


# Method -> what tells it, and the field of the reply that it is; none: the whole reply.
TELLS: dict[str, tuple[Tell, str]] = {
    "ServerLive": (lambda call, _: routes.live(call), ""),
    "ServerReady": (lambda call, _: routes.ready(call), ""),
    "ServerMetadata": (lambda call, _: routes.server_metadata(call), ""),
    "ModelReady": (_of_model(routes.model_ready), ""),
    "ModelMetadata": (_of_model(routes.model_metadata), ""),
    "ModelConfig": (_of_model(routes.model_config), "config"),
    "ModelStatistics": (_statistics, ""),
    "RepositoryIndex": (_index, "models"),
    "RepositoryModelLoad": (_load_or_unload, ""),
    "RepositoryModelUnload": (_load_or_unload, ""),
}


async def told(method: str, call: Call, request: Any) -> Any:
    """The reply of a method of TELLS. Raises the errors of the taxonomy."""
    tell, field = TELLS[method]
    document = msgspec.json.decode((await tell(call, request)).body)
    _, reply = kinds(INFERENCE, method)
    return ParseDict({field: document} if field else document, reply(), ignore_unknown_fields=True)
