"""Requests that bring pictures: JSON with base64 in it, one picture as the body itself, or a form, as OpenAI's clients send it."""

import logging
import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from service.drawing.uploads import MEDIA_TYPES
from service.errors import InvalidField, UnsupportedType
from service.web.http.asgi import Call, header
from service.web.http.bodies import JSON_TYPE, decode_request, invalid_field, read_inflated

S = TypeVar("S", bound=msgspec.Struct)

FORM = "multipart/form-data"
_PICTURE = re.compile(rf"(?:{'|'.join(MEDIA_TYPES)})\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_FORM = re.compile(rf"{FORM}\s*;", re.ASCII | re.IGNORECASE)
_MOST_PARTS = 1000
_MOST_HEAD = 4096
"""Bytes of a part's header lines."""

# Of every form that is none it would tell the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


async def read_upload(call: Call, decoder: msgspec.json.Decoder[S]) -> S:
    """The body as the struct of `decoder`; a picture as its `images`, with the query's fields beside it.

    Raises UnsupportedType, InvalidField, and what `read_inflated` and `decode_request` raise.
    """
    declared = header(call.scope, b"content-type")
    if declared is not None and _PICTURE.match(declared):
        body = await read_inflated(call)
        return converted({"images": [body]} | _query(call), decoder.type)
    if declared is not None and not JSON_TYPE.match(declared):
        allowed = f"application/json and {', '.join(MEDIA_TYPES)}"
        raise UnsupportedType(f"The content type is '{declared[:64]}'; allowed are {allowed}.")
    return decode_request(await read_inflated(call), decoder)


async def read_form(call: Call, kind: type[S], pictures: str) -> S:
    """A form as the struct `kind`. pictures: its field, a list, that gets all parts of that name, and of `NAME[]`.

    Raises UnsupportedType, InvalidField, and what `read_inflated` raises.
    """
    declared = header(call.scope, b"content-type") or ""
    if not _FORM.match(declared):
        raise UnsupportedType(f"The content type is '{declared[:64]}'; allowed is {FORM} with its boundary.")
    body = await read_inflated(call)
    fields: dict[str, Any] = {}
    for name, content in _parts(body, parse_options_header(declared)[1].get(b"boundary", b"")):
        if name in (pictures, f"{pictures}[]"):
            fields.setdefault(pictures, []).append(content)
        elif name in fields:
            raise InvalidField(name[:64], f"The form has the field '{name[:64]}' twice.")
        else:
            try:
                fields[name] = content.decode()
            except UnicodeDecodeError:
                if name not in kind.__struct_fields__:
                    raise InvalidField(
                        name[:64],
                        f"There is no field '{name[:64]}'; allowed are {', '.join(kind.__struct_fields__)}.",
                    ) from None
                raise InvalidField(name[:64], f"The field '{name[:64]}' is no text in UTF-8.") from None
    return converted(fields, kind)


def converted(fields: dict[str, Any], kind: type[S]) -> S:
    """Texts and bytes as the struct, numbers read out of texts. Raises InvalidField.

    Where it has `scalars`, a number that is no field is one of those, as NAME or, as in forms of OpenAI's clients, scalars[NAME].
    """
    known = kind.__struct_fields__
    if "scalars" in known and (
        others := [name for name in fields if name not in known and _is_number(fields[name])]
    ):
        scalars = {name.removeprefix("scalars[").removesuffix("]"): fields.pop(name) for name in others}
        fields["scalars"] = scalars
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_field(error, kind) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _query(call: Call) -> dict[str, str]:
    text = call.scope.get("query_string", b"").decode("latin-1")
    fields: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in fields or name == "images":
            raise InvalidField(
                name[:64], f"The query has '{name[:64]}' {'twice' if name in fields else 'beside a picture'}."
            )
        fields[name] = value
    return fields


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of a form's parts. Raises InvalidField."""
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise InvalidField(
            "body", "The body is no form that is whole, in parts between its boundary."
        ) from None
    if not form.has_ended:
        raise InvalidField("body", "The form ends before its last boundary.")
    return form.parts


class _Form:
    """What a parser finds, in memory: nothing of a form is laid on a disk."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, bytes]] = []
        self.has_ended = False
        self._name, self._value, self._disposition = b"", b"", b""
        self._head_bytes = 0
        self._chunks: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._values,
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._chunks.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.parts) >= _MOST_PARTS:
            raise ValueError("too many parts")
        self._name, self._value, self._disposition, self._chunks = b"", b"", b"", []
        self._head_bytes = 0

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += self._of_head(data[start:end])

    def _values(self, data: bytes, start: int, end: int) -> None:
        self._value += self._of_head(data[start:end])

    def _of_head(self, piece: bytes) -> bytes:
        self._head_bytes += len(piece)
        if self._head_bytes > _MOST_HEAD:
            raise ValueError("a part's head is too long")
        return piece

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _end(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name")
        if name is None:
            raise ValueError("a part without a name")
        self.parts.append((name.decode("utf-8", "replace"), b"".join(self._chunks)))

    def _finish(self) -> None:
        self.has_ended = True
