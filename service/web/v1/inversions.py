"""POST /v1/inversions: the z of pictures that clients have."""

import base64

import msgspec
import numpy as np

from service.drawing.latent.inversions import (
    InversionReply,
    InversionRequest,
    find,
    has_encoder,
    labels_of,
    reconstruction,
    told,
)
from service.drawing.latent.refinement import images_of, refined, require
from service.drawing.uploads import MEDIA_TYPES
from service.errors import InvalidField
from service.generator.images import png
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.drawing_call import DrawingCall, drawn_headers
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Parameter, Route
from service.web.http.uploads import read_upload

_decoder = msgspec.json.Decoder(InversionRequest)


async def post_inversions(call: Call) -> Reply:
    """POST /v1/inversions."""
    asked = await read_upload(call, _decoder)
    drawing = await DrawingCall.begin(
        call, asked.timeout, lambda: call.models.pick(asked.model, None, has_encoder)
    )
    model, n = drawing.model, len(asked.images)
    # Before anything is decoded.
    model.beside.require("z")
    if n > drawing.most_images:
        raise InvalidField("images", f"There are {n} pictures; allowed are 1 to {drawing.most_images}.")
    label = labels_of(asked.label, n, model.contract)
    require(asked.steps, n)
    call.take(n * (1 + images_of(asked.steps, model, drawing.most_images)))

    async def inverted() -> Reply:
        found = await find(asked.images, label, model, drawing.deadline)
        if asked.steps:
            found = await refined(found, model, asked.steps, drawing.most_images, drawing.deadline)
        call.draw = draw = reconstruction(found, model)
        return Reply(200, JSON, await told(found, draw, drawing.deadline), drawn_headers(draw))

    return await unless_client_goes(call.receive, inverted())


_PIXEL = base64.b64encode(png(np.full((1, 1, 1), 128, np.uint8))).decode()
_QUERY = "Beside a picture as the body."
ROUTES = [
    Route(
        *("POST", "/v1/inversions", post_inversions, "sample"),
        "The z of pictures",
        {
            200: Answer(
                "Of each picture its z and label, which give its reconstruction again, and how far off that is.",
                {JSON: InversionReply},
                IMAGE_HEADERS,
            )
        },
        DRAWING_ERRORS,
        "For a model with an encoder, which `python -m training encode` makes: its card says so. The body is JSON, or one picture as it is, with the other "
        "fields in the query. Passes of encoders share the lanes with all others; limits and errors are those of /v1/samples.",
        Body(InversionRequest, {"one grey pixel": {"images": [_PIXEL]}}, dict.fromkeys(MEDIA_TYPES, str)),
        [
            Parameter("model", f"{_QUERY} Model name, or name@version.", "query"),
            Parameter("label", f"{_QUERY} Class of the picture.", "query"),
            Parameter("steps", f"{_QUERY} Steps of refinement, 0 to 16.", "query"),
            Parameter("timeout", f"{_QUERY} Seconds until 504.", "query", float),
        ],
    )
]
