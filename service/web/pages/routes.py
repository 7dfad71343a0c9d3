"""The pages for people: the playground at /, its files, and the API reference at /docs.

Everything comes from this service: nothing is asked of another host, and the browser is told to refuse it.
"""

import hashlib
from pathlib import Path

from service.errors import UnknownRoute
from service.web.http.asgi import Call, Reply
from service.web.http.route import Answer, Parameter, Route
from service.web.pages import pulse, readme

_FOLDER = Path(__file__).parent / "playground"
_HTML = "text/html; charset=utf-8"
_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": _HTML}
_FILES = {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in _MEDIA_TYPES}

_CONTENT = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_SECURITY = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_PLAYGROUND = _SECURITY | {"content-security-policy": _CONTENT}
# What is tried out shows the images of its answers from memory.
_REFERENCE = _SECURITY | {
    "content-security-policy": _CONTENT.replace("img-src 'self' data:", "img-src 'self' data: blob:")
}
_PAGES = {"index.html": _PLAYGROUND, "docs.html": _REFERENCE}


async def home(call: Call) -> Reply:
    """GET /: the playground."""
    return _file("index.html")


async def get_file(call: Call, file: str) -> Reply:
    """GET /playground/{file}: its scripts and styles."""
    if file not in _FILES or file in _PAGES:
        raise UnknownRoute(f"There is no /playground/{file[:64]}; the playground is at /.")
    return _file(file)


async def docs(call: Call) -> Reply:
    """GET /docs: the API reference."""
    return _file("docs.html")


def _file(name: str) -> Reply:
    body, kind = _FILES[name], _MEDIA_TYPES[Path(name).suffix]
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    # Asked for again each time, at the cost of a 304 (compression.py): an upgrade is seen at once, and the files fit each other.
    return Reply(200, kind, body, _PAGES.get(name, _PLAYGROUND) | {"etag": etag, "cache-control": "no-cache"})


_CACHING = {"etag": "Of these bytes.", "cache-control": "To be asked for again each time."}


def _answers(*kinds: str) -> dict[int, Answer]:
    return {
        200: Answer("It asks no other host for anything.", dict.fromkeys(kinds, str), _CACHING),
        304: Answer("The client's copy is good.", headers=_CACHING),
    }


ROUTES = [
    *(*pulse.ROUTES, *readme.ROUTES),
    Route(*("GET", "/", home, None), "The playground, to look at what is served", _answers("text/html")),
    Route(
        *("GET", "/playground/{file}", get_file, None),
        "A file of the playground",
        _answers("text/javascript", "text/css"),
        (UnknownRoute,),
        parameters=(Parameter("file", "Name of a script or style sheet."),),
    ),
    Route(*("GET", "/docs", docs, None), "This document, to read", _answers("text/html")),
]
