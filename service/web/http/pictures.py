"""Requests that bring pictures: as JSON with the files in base64, or as one file with the other fields in the query."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from service import metrics
from service.drawing.encoders import Encoders
from service.drawing.uploads import MEDIA_TYPES
from service.errors import DeadlinePassed, InvalidField, UnsupportedType
from service.machine.hardware import available_cpus
from service.web.http.asgi import Call, Scope, header
from service.web.http.bodies import JSON_TYPE, decode_request, invalid_field, read_inflated

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

# Those of others answer meanwhile: not their threads. What waits holds its body in memory.
_DECODERS = Encoders(ThreadPoolExecutor(max(1, available_cpus() // 2), "pictures"), 64 * 2**20)


async def read_pictures(call: Call, decoder: msgspec.json.Decoder[S]) -> S:
    """The body as the struct of `decoder`, whose `images` are files; or the one picture that it is.

    Of a picture the query has the other fields, and what is no field is a scalar. Raises UnsupportedType, InvalidField, and
    what reading a body raises.
    """
    declared = (header(call.scope, b"content-type") or "application/json").strip()
    kind = declared.partition(";")[0].strip().lower()
    if JSON_TYPE.match(declared):
        return decode_request(await read_inflated(call), decoder)
    if kind not in MEDIA_TYPES:
        raise UnsupportedType(
            f"The content type is '{declared[:64]}'; allowed are application/json, {', '.join(MEDIA_TYPES)}."
        )
    fields = _query(call.scope, decoder.type)
    try:
        return msgspec.convert(fields | {"images": [await read_inflated(call)]}, decoder.type, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_field(error, decoder.type) from None


def _query(scope: Scope, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields of `kind` that the query has, and all else as scalars, if it has those. Raises InvalidField."""
    known = [name for name in kind.__struct_fields__ if name not in ("images", "scalars")]
    fields: dict[str, Any] = {}
    scalars: dict[str, float] = {}
    for name, value in parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True):
        if name in fields or name in scalars:
            raise InvalidField(name[:64], f"{name[:64]} is in the query twice.")
        if name in known:
            fields[name] = value
            continue
        try:
            scalars[name] = float(value)
        except ValueError:
            raise InvalidField(
                name[:64],
                f"Allowed in the query are {', '.join(known)}, and scalars of the model, which are numbers.",
            ) from None
    if scalars and "scalars" not in kind.__struct_fields__:
        raise InvalidField(min(scalars)[:64], f"Allowed in the query are {', '.join(known)}.")
    return fields | ({"scalars": scalars} if scalars else {})


async def decoded(size: int, deadline: float, work: Callable[[], T]) -> T:
    """work(), which decodes so many bytes of files, in a thread. deadline: time.monotonic() seconds.

    Raises QueueFull where too much is being decoded; DeadlinePassed; what `work` raises.
    """
    with _DECODERS.reserved(size):
        under_way = asyncio.get_running_loop().run_in_executor(_DECODERS.threads, work)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await under_way
        except TimeoutError:
            metrics.refused.labels("deadline").inc()
            raise DeadlinePassed("The deadline passed before the pictures were decoded.") from None
