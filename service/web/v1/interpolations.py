"""POST /v1/interpolations and /v1/arithmetic: what lies between images, and sums of them."""

from typing import cast

import msgspec

from service.drawing.formats import MEDIA_TYPES, SERIES_MEDIA_TYPES, SeriesFormat
from service.drawing.latent.arithmetic import ArithmeticRequest, Term, add_up
from service.drawing.latent.interpolation import InterpolationRequest, interpolate
from service.drawing.latent.series import Series, render
from service.drawing.sampler import JsonReply
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import read_request
from service.web.http.drawing_call import DrawingCall, accepted, address_headers, timing_of
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, MODEL_HEADERS, Answer, Body, Route

_interpolation = msgspec.json.Decoder(InterpolationRequest)
_arithmetic = msgspec.json.Decoder(ArithmeticRequest)


async def post_interpolations(call: Call) -> Reply:
    """POST /v1/interpolations. `ganserve-seeds` and `-labels` are those of the points."""
    asked = await read_request(call, _interpolation)
    seed = asked.seeds[0] if asked.seeds else asked.seed
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, seed))
    series = interpolate(asked, drawing.model, drawing.most_images)
    points = slice(None, None, asked.steps - 1)
    seeds = series.seeds[points]
    headers = _headers(series, points)
    if None not in seeds:
        headers["ganserve-seeds"] = ",".join(map(str, seeds[:1] if len(set(seeds)) == 1 else seeds))
    return await _reply(drawing, asked, series, headers, asked.frame_milliseconds)


async def post_arithmetic(call: Call) -> Reply:
    """POST /v1/arithmetic."""
    asked = await read_request(call, _arithmetic, terms=Term)
    seed = asked.terms[0].seeds[0]
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, seed))
    series = add_up(asked, drawing.model, drawing.most_images)
    return await _reply(drawing, asked, series, _headers(series, slice(None)))


def _headers(series: Series, shown: slice) -> dict[str, str]:
    """Model, version, engine, and the classes of the images that are shown there."""
    draw = series.draw
    return address_headers(msgspec.structs.replace(draw, label=draw.label and draw.label[shown]))


async def _reply(
    drawing: DrawingCall,
    asked: InterpolationRequest | ArithmeticRequest,
    series: Series,
    headers: dict[str, str],
    frame_milliseconds: int = 0,
) -> Reply:
    # An animation is what a way can be, and no sum.
    among = SERIES_MEDIA_TYPES if frame_milliseconds else MEDIA_TYPES
    format = cast(SeriesFormat, asked.format or accepted(drawing.call.scope, tuple(among)) or "png")
    body = await drawing.finish(
        series.draw,
        lambda: render(series, format, drawing.deadline, frame_milliseconds, asked.quality),
    )
    return Reply(
        200, SERIES_MEDIA_TYPES[format], body, headers | {"server-timing": timing_of(series.draw.timing)}
    )


_IMAGES = {kind: JsonReply if kind == JSON else str for kind in SERIES_MEDIA_TYPES.values()}
_SHARED = "The images share forward passes, limits and errors with those of /v1/samples."
_POINTS_HEADERS = {
    "ganserve-seeds": "Seeds of the points, or the one seed of all; absent where z was given.",
    "ganserve-labels": "Class indexes of the points, or the one class of all; absent for an unconditional model.",
}
_A_MINUS_B_PLUS_C = [
    {"weight": 1, "seeds": [1, 2, 3]},
    {"weight": -1, "seeds": [4, 5, 6]},
    {"weight": 1, "seeds": [7, 8, 9]},
]
ROUTES = [
    Route(
        *("POST", "/v1/interpolations", post_interpolations, "sample"),
        "Images on the way between two or more",
        {200: Answer("The images, in the format asked for.", _IMAGES, MODEL_HEADERS | _POINTS_HEADERS)},
        DRAWING_ERRORS,
        f"From point to point through z, in equal steps. {_SHARED}",
        Body(
            InterpolationRequest,
            {
                "between two seeds": {"seeds": [1, 2], "label": "Sneaker", "steps": 8},
                "a loop that plays": {"seeds": [1, 2, 3], "label": 9, "loop": True, "format": "gif"},
                "one z through three classes": {"label": [5, 7, 9], "seed": 4, "steps": 2},
            },
        ),
    ),
    Route(
        *("POST", "/v1/arithmetic", post_arithmetic, "sample"),
        "Sums of images, in z",
        {
            200: Answer(
                "The images, in the format asked for.",
                {kind: one for kind, one in _IMAGES.items() if kind != SERIES_MEDIA_TYPES["gif"]},
                IMAGE_HEADERS,
            )
        },
        DRAWING_ERRORS,
        f"Weighted sums of averaged z (Radford et al. 2016, section 6.3.2). {_SHARED}",
        Body(
            ArithmeticRequest,
            {
                "a minus b plus c": {
                    "terms": _A_MINUS_B_PLUS_C,
                    "label": "Sneaker",
                    "include_terms": True,
                }
            },
        ),
    ),
]
