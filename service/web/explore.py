"""POST /v1/interpolations and /v1/arithmetic: what lies between images, and sums of them."""

import time

import msgspec

from service.arithmetic import ArithmeticRequest, Term, add_up
from service.model import Model
from service.paths import InterpolationRequest, interpolate
from service.series import MEDIA_TYPES, Series, render
from service.web.asgi import Call, Reply, read_body, unless_client_goes
from service.web.samples import address_headers, decode_request, require_json, timing_of

_interpolation = msgspec.json.Decoder(InterpolationRequest)
_arithmetic = msgspec.json.Decoder(ArithmeticRequest)


async def post_interpolations(call: Call) -> Reply:
    """POST /v1/interpolations. `ganserve-seeds` and `-labels` are those of the points."""
    begun = time.monotonic()
    asked = decode_request(await _body(call), _interpolation)
    seed = asked.seeds[0] if asked.seeds else asked.seed
    series = interpolate(asked, _model(call, asked.model, seed), call.models.settings.max_images_per_request)
    points = slice(None, None, asked.steps - 1)
    seeds = series.seeds[points]
    headers = _headers(series, points)
    if None not in seeds:
        headers["ganserve-seeds"] = ",".join(map(str, seeds[:1] if len(set(seeds)) == 1 else seeds))
    return await _reply(call, begun, asked, series, headers, asked.frame_milliseconds)


async def post_arithmetic(call: Call) -> Reply:
    """POST /v1/arithmetic."""
    begun = time.monotonic()
    asked = decode_request(await _body(call), _arithmetic, terms=Term)
    series = add_up(
        asked, _model(call, asked.model, asked.terms[0].seeds[0]), call.models.settings.max_images_per_request
    )
    return await _reply(call, begun, asked, series, _headers(series, slice(None)))


async def _body(call: Call) -> bytes:
    require_json(call.scope)
    settings = call.models.settings
    return await read_body(call.scope, call.receive, settings.max_body_bytes, settings.timeout_seconds)


def _model(call: Call, name: str | None, seed: int | None) -> Model:
    model = call.models.pick(name, seed)
    model.require_ready()
    return model


def _headers(series: Series, shown: slice) -> dict[str, str]:
    """Model, version, engine, and the classes of the images that are shown there."""
    draw = series.draw
    return address_headers(msgspec.structs.replace(draw, label=draw.label and draw.label[shown]))


async def _reply(
    call: Call,
    begun: float,
    asked: InterpolationRequest | ArithmeticRequest,
    series: Series,
    headers: dict[str, str],
    frame_milliseconds: int = 0,
) -> Reply:
    call.take(len(series.draw.z))
    longest = call.models.settings.timeout_seconds
    deadline = begun + (longest if asked.timeout is None else min(asked.timeout, longest))
    work = render(series, asked.format, deadline, frame_milliseconds)
    body = await unless_client_goes(call.receive, work)
    return Reply(200, MEDIA_TYPES[asked.format], body, headers | {"server-timing": timing_of(series.draw)})
