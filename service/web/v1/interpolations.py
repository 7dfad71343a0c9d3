"""POST /v1/interpolations and /v1/arithmetic: what lies between images, and sums of them."""

import msgspec

from service.drawing.arithmetic import ArithmeticRequest, Term, add_up
from service.drawing.interpolation import InterpolationRequest, interpolate
from service.drawing.series import MEDIA_TYPES, Series, render
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.bodies import decode_request, read_json
from service.web.http.drawing_call import address_headers, awake, deadline_of, timing_of

_interpolation = msgspec.json.Decoder(InterpolationRequest)
_arithmetic = msgspec.json.Decoder(ArithmeticRequest)


async def post_interpolations(call: Call) -> Reply:
    """POST /v1/interpolations. `ganserve-seeds` and `-labels` are those of the points."""
    asked = decode_request(await read_json(call), _interpolation)
    seed = asked.seeds[0] if asked.seeds else asked.seed
    deadline = deadline_of(call.begun, asked.timeout, call.models.settings.timeout_seconds)
    model = await awake(call, deadline, lambda: call.models.pick(asked.model, seed))
    series = interpolate(asked, model, call.models.settings.max_images_per_request)
    points = slice(None, None, asked.steps - 1)
    seeds = series.seeds[points]
    headers = _headers(series, points)
    if None not in seeds:
        headers["ganserve-seeds"] = ",".join(map(str, seeds[:1] if len(set(seeds)) == 1 else seeds))
    return await _reply(call, asked, series, headers, deadline, asked.frame_milliseconds)


async def post_arithmetic(call: Call) -> Reply:
    """POST /v1/arithmetic."""
    asked = decode_request(await read_json(call), _arithmetic, terms=Term)
    deadline = deadline_of(call.begun, asked.timeout, call.models.settings.timeout_seconds)
    model = await awake(call, deadline, lambda: call.models.pick(asked.model, asked.terms[0].seeds[0]))
    series = add_up(asked, model, call.models.settings.max_images_per_request)
    return await _reply(call, asked, series, _headers(series, slice(None)), deadline)


def _headers(series: Series, shown: slice) -> dict[str, str]:
    """Model, version, engine, and the classes of the images that are shown there."""
    draw = series.draw
    return address_headers(msgspec.structs.replace(draw, label=draw.label and draw.label[shown]))


async def _reply(
    call: Call,
    asked: InterpolationRequest | ArithmeticRequest,
    series: Series,
    headers: dict[str, str],
    deadline: float,
    frame_milliseconds: int = 0,
) -> Reply:
    call.take(len(series.draw.z))
    work = render(series, asked.format, deadline, frame_milliseconds)
    body = await unless_client_goes(call.receive, work)
    return Reply(200, MEDIA_TYPES[asked.format], body, headers | {"server-timing": timing_of(series.draw)})
