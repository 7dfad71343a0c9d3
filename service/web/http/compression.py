"""Replies as small as their reader takes them: gzip for JSON and text, by Accept-Encoding (RFC 9110, section 12.5.3).

What is drawn stays as it is: PNG and WebP are compressed already, base64 and arrays of pixels little worth their time on
the way of a sample. Each encoding of a document has an ETag of its own, since its bytes differ.
"""

import asyncio
import re
import zlib
from collections import OrderedDict

from service.web.http.asgi import Reply, Scope, header

LEAST_BYTES = 1024
_TYPES = re.compile(r"text/|application/(json|javascript|problem\+json|openmetrics-text)\b")
_DRAWN = "ganserve-model"
_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS
# Compressed here and now below that: some 0.3 ms. What is larger goes to another thread, as zlib lets go of the interpreter.
_MOST_BYTES_HERE = 16_384
_MOST_KEPT = 32


async def encoded(scope: Scope, reply: Reply) -> Reply:
    """`reply` in the best encoding that the client takes, or 304 where it has that already."""
    if reply.status != 200 or _DRAWN in reply.headers or not _TYPES.match(reply.media_type):
        return reply
    etag = reply.headers.get("etag")
    if len(reply.body) < LEAST_BYTES:
        return _unless_known(scope, reply, etag)
    vary = {"vary": "accept-encoding"}
    if not takes_gzip(header(scope, b"accept-encoding")):
        return _unless_known(scope, _with(reply, reply.body, vary), etag)
    own = f'{etag.removesuffix(chr(34))}-gzip"' if etag else None
    more = vary | {"content-encoding": "gzip"} | ({"etag": own} if own else {})
    if own and _knows(scope, own):
        return Reply(304, reply.media_type, b"", reply.headers | vary | {"etag": own})
    return _with(reply, await _compressed(reply.body, etag), more)


def takes_gzip(accepted: str | None) -> bool:
    """Whether an Accept-Encoding prefers gzip, or takes it as well as anything else."""
    weights: dict[str, float] = {}
    for one in (accepted or "").lower().split(","):
        coding, *parameters = (part.strip() for part in one.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights[coding] = float(weight)
        except ValueError:
            return False
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _unless_known(scope: Scope, reply: Reply, etag: str | None) -> Reply:
    if etag and _knows(scope, etag):
        return Reply(304, reply.media_type, b"", reply.headers)
    return reply


def _knows(scope: Scope, etag: str) -> bool:
    """By the weak comparison of If-None-Match (section 13.1.2)."""
    given = header(scope, b"if-none-match")
    return given is not None and any(
        tag.strip().removeprefix("W/") in (etag.removeprefix("W/"), "*") for tag in given.split(",")
    )


def _with(reply: Reply, body: bytes, headers: dict[str, str]) -> Reply:
    return Reply(reply.status, reply.media_type, body, reply.headers | headers)


# Files by their ETag: the same ones are asked for again and again.
_kept: OrderedDict[str, bytes] = OrderedDict()


async def _compressed(body: bytes, etag: str | None) -> bytes:
    if etag in _kept:
        return _kept[etag]
    small = len(body) <= _MOST_BYTES_HERE
    done = _gzip(body) if small else await asyncio.to_thread(_gzip, body)
    if etag:
        _kept[etag] = done
        if len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return done


def _gzip(body: bytes) -> bytes:
    # zlib writes no date: the same bytes each time, as the ETag says.
    return zlib.compress(body, _LEVEL, _GZIP)
