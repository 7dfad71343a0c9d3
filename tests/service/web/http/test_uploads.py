"""Requests that bring pictures, as the struct that a route asks for."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from service.errors import BodyTooLarge, InvalidField, UnsupportedType
from service.settings import Settings
from service.web.http.asgi import Call
from service.web.http.uploads import read_form, read_upload

PNG = b"\x89PNG\r\n\x1a\n\0\xff--frame\r\n"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    images: list[bytes]
    n: int = 1
    label: int | str | None = None
    step: float = 0.0


class Form(msgspec.Struct, forbid_unknown_fields=True):
    image: list[bytes]
    n: int = 1
    user: str = ""


class _Models:
    settings = Settings(max_body_bytes=2**16)


def call(body: bytes, content_type: str | None, query: str = "", **headers: str) -> Call:
    parts = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        return parts.pop()

    given = headers if content_type is None else {"content-type": content_type, **headers}
    scope = {
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    return Call(scope, receive, _Models, False, None, None, 0.0)  # pyright: ignore[reportArgumentType]


def uploaded(*given: Any, **headers: str) -> Asked:
    return asyncio.run(read_upload(call(*given, **headers), msgspec.json.Decoder(Asked)))


def form(body: bytes, content_type: str) -> Form:
    return asyncio.run(read_form(call(body, content_type), Form, "image"))


def written(**fields: Any) -> tuple[bytes, str]:
    """A form as httpx sends it, which OpenAI's clients do it with."""
    request = httpx.Request("POST", "http://site/", **fields)
    return request.read(), request.headers["content-type"]


def test_json_has_its_pictures_in_base64():
    asked = uploaded(msgspec.json.encode({"images": [PNG, b""], "n": 2}), "application/json")
    assert asked == Asked([PNG, b""], 2)


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "IMAGE/WEBP; charset=binary"])
def test_a_picture_is_the_body_itself_and_the_fields_are_in_the_query(kind):
    assert uploaded(PNG, kind, "n=3&label=Ankle+boot&step=0.5") == Asked([PNG], 3, "Ankle boot", 0.5)


@pytest.mark.parametrize(
    ("query", "field"),
    [("n=1&n=2", "n"), ("images=AAAA", "images"), ("n=many", "n"), ("m=1", "m"), ("step=", "step")],
)
def test_a_query_is_held_to_the_fields_that_there_are(query, field):
    with pytest.raises(InvalidField) as refused:
        uploaded(PNG, "image/png", query)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "kind", ["image/svg+xml", "image/gif", "text/html", "multipart/form-data; boundary=x", "image/pngx"]
)
def test_another_content_type_is_refused(kind):
    with pytest.raises(UnsupportedType, match="image/webp"):
        uploaded(PNG, kind)


def test_a_form_is_read_as_openais_clients_send_it():
    body, kind = written(
        files=[("image[]", ("a.png", PNG)), ("image[]", ("../../b", b""))], data={"n": "2", "user": "é"}
    )
    assert form(body, kind) == Form([PNG, b""], 2, "é")
    assert form(*written(files={"image": PNG})) == Form([PNG])


def test_a_form_that_was_cut_off_is_refused_wherever():
    body, kind = written(files={"image": PNG}, data={"n": "2"})
    for length in range(len(body) - 4):
        with pytest.raises(InvalidField):
            form(body[:length], kind)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"--x\r\n\r\nno head\r\n--x--\r\n", "no form"),
        (b"--x\r\ncontent-disposition: form-data\r\n\r\nno name\r\n--x--\r\n", "no form"),
        (
            b"--x\r\ncontent-disposition: form-data; name=n; pad=" + b"y" * 5000 + b"\r\n\r\n1\r\n--x--\r\n",
            "no form",
        ),
        (b"--x\r\ncontent-disposition: form-data; name=n\r\n\r\n1\r\n" * 1001 + b"--x--\r\n", "no form"),
        (b"--x\r\ncontent-disposition: form-data; name=n\r\n\r\n1\r\n" * 2 + b"--x--\r\n", "'n' twice"),
        (b"--x\r\ncontent-disposition: form-data; name=user\r\n\r\n\xff\r\n--x--\r\n", "UTF-8"),
        (b"--x\r\ncontent-disposition: form-data; name=n\r\n\r\nmany\r\n--x--\r\n", "int"),
        (b"--x\r\ncontent-disposition: form-data; name=style\r\n\r\n\r\n--x--\r\n", "no field 'style'"),
        (b"--y\r\n", "no form"),
        (b"", "ends before"),
    ],
)
def test_a_form_that_is_none_is_refused(body, said):
    with pytest.raises(InvalidField, match=said):
        form(body, "multipart/form-data; boundary=x")


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "image/png"])
def test_what_is_no_form_with_a_boundary_is_refused(kind):
    with pytest.raises(UnsupportedType, match="multipart/form-data"):
        form(PNG, kind)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=", "multipart/form-data; x=y"])
def test_a_form_without_a_boundary_is_refused(kind):
    with pytest.raises(InvalidField):
        form(written(files={"image": PNG})[0], kind)


def test_a_body_too_large_is_refused_whatever_it_is():
    for kind in ("image/png", "multipart/form-data; boundary=x", "application/json"):
        read = form if kind.startswith("multipart") else uploaded
        with pytest.raises(BodyTooLarge):
            read(bytes(2**16 + 1), kind)
