"""What service.generator takes of msgspec, where that is not installed: records, and JSON to and from them.

It does not hold values to their bounds; this repository's files are held to them by its tests.
"""

import base64
import dataclasses
import json as text
import types
import typing
from typing import Any


class MsgspecError(Exception):
    """JSON that can't be read as what was asked for."""


class Meta:
    def __init__(self, **bounds: float) -> None:
        """bounds: not looked at."""


@typing.dataclass_transform()
class Struct:
    def __init_subclass__(cls, frozen: bool = False, **_options: bool) -> None:
        for name, value in vars(cls).copy().items():
            if isinstance(value, list | dict) and not name.startswith("__"):
                setattr(cls, name, dataclasses.field(default_factory=type(value)))
        dataclasses.dataclass(frozen=frozen)(cls)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    assert dataclasses.is_dataclass(value)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _build(value: Any, kind: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _build(value, inner[0])
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _build(value, inner[0])
    if origin is list:
        return [_build(one, inner[0]) for one in value]
    if kind is bytes:
        return base64.b64decode(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: _build(one, hints[name]) for name, one in value.items() if name in hints})
    return value


def _encode(value: Any) -> bytes:
    return text.dumps(value, default=_plain, separators=(",", ":")).encode()


def _decode(document: str | bytes, type: Any) -> Any:
    try:
        return _build(text.loads(document), type)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MsgspecError(str(error)) from error


json = types.SimpleNamespace(encode=_encode, decode=_decode)
