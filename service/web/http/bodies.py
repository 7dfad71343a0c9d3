"""Bodies of requests: of JSON or of nothing, compressed or not, as the structs that the routes ask for."""

import re
import zlib
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from service.drawing.mixing import TAKEN_BY
from service.errors import BodyTooLarge, InvalidField, NotJson, UnsupportedCoding, UnsupportedType
from service.web.http.asgi import Call, Scope, header, read_body

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.ASCII | re.IGNORECASE)
WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's names for RFC 1952 and RFC 1950


async def read_json(call: Call) -> bytes:
    """A body that is declared to be JSON, or nothing. Raises UnsupportedType, and what `read_inflated` raises."""
    require_json(call.scope)
    return await read_inflated(call)


async def read_request(call: Call, decoder: msgspec.json.Decoder[S], **parts: type[msgspec.Struct]) -> S:
    """The body as the struct of `decoder`. Raises what `read_json` and `decode_request` raise."""
    return decode_request(await read_json(call), decoder, **parts)


async def read_inflated(call: Call) -> bytes:
    """The body as it was before its content coding. Raises what `read_body` and `inflate` raise."""
    settings = call.models.settings
    body = await read_body(call.scope, call.receive, settings.max_body_bytes, settings.timeout_seconds)
    return inflate(body, header(call.scope, b"content-encoding"), settings.max_body_bytes)


def require_json(scope: Scope) -> None:
    """Raises UnsupportedType for a declared content type other than JSON."""
    declared = header(scope, b"content-type")
    if declared is not None and not JSON_TYPE.match(declared):
        raise UnsupportedType(f"The content type is '{declared[:64]}'; allowed is application/json.")


def inflate(body: bytes, coding: str | None, max_bytes: int) -> bytes:
    """The body as it was before its content coding. Raises UnsupportedCoding, InvalidField, BodyTooLarge."""
    coding = (coding or "identity").strip().lower()
    if coding in ("identity", ""):
        return body
    if coding not in WINDOWS:
        raise UnsupportedCoding(
            f"The content encoding is '{coding[:64]}'; allowed are gzip, deflate and identity.", WINDOWS
        )
    stream = zlib.decompressobj(WINDOWS[coding])
    try:
        inflated = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidField("content-encoding", f"The body is not {coding}: {error}.") from None
    if len(inflated) > max_bytes:
        raise BodyTooLarge(f"The body inflates to more than the {max_bytes} bytes that are allowed.")
    if not stream.eof or stream.unused_data:
        raise InvalidField("content-encoding", f"The body is not one whole {coding} stream.")
    return inflated


def decode_request(body: bytes, decoder: msgspec.json.Decoder[S], **parts: type[msgspec.Struct]) -> S:
    """A body as the struct of `decoder`. Raises NotJson, or InvalidField with the field that the decoder names.

    parts: the struct that a field's entries are made of, where they are structs.
    """
    try:
        return decode(body or b"{}", decoder)
    except msgspec.ValidationError as error:
        raise invalid_field(error, decoder.type, **parts) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"The body must be a JSON object: {error}") from None


def decode(text: bytes | memoryview, decoder: msgspec.json.Decoder[T]) -> T:
    """What JSON means as the type of `decoder`; 4.0 and 4e0 are integers, as JSON Schema has it. Raises what it raises."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
    # So few write integers like that that the others need not pay for them.
    return decoder.decode(msgspec.json.encode(_whole(msgspec.json.decode(text))))


def _whole(value: Any) -> Any:
    """Floats without a fraction as integers; lists of lists, which are of floats, stay as they are."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [one if isinstance(one, list) else _whole(one) for one in value]
    return value


def invalid_field(
    error: msgspec.ValidationError, kind: type[msgspec.Struct], **parts: type[msgspec.Struct]
) -> InvalidField:
    """msgspec's `Expected `int`, got `str` - at `$.n`` -> the field and the rest."""
    text, _, path = str(error).partition(" - at `$")
    field = path.strip("`.")
    inside = parts.get(field.partition("[")[0], kind)
    within = f"{field}." if field else ""
    if unknown := re.search(r"unknown field `(.*)`", text):
        name, allowed = within + unknown[1][:64], ", ".join(inside.__struct_fields__)
        return InvalidField(name, f"There is no field '{name}'; allowed are {allowed}.")
    if missing := re.search(r"missing required field `(.*)`", text):
        return InvalidField(within + missing[1], f"The field '{within}{missing[1]}' is missing.")
    if text.startswith("Invalid enum value"):
        # Of `Literal[...]`, and of `Literal[...] | None`.
        parts_of = [get_args(one) or (one,) for one in get_args(get_type_hints(inside).get(field))]
        text += f"; allowed are {', '.join(one for part in parts_of for one in part if isinstance(one, str))}"
    if field.rpartition(".")[2].startswith("label") and text.endswith("got `object`"):
        text += f"; {TAKEN_BY}"
    return InvalidField(field or "body", text + ".")
