"""POST /v1/classifications: the classes that pictures may be of."""

import base64

import msgspec
import numpy as np

from service.batching.request_queue import Timing
from service.drawing.classification import (
    MOST_TOP,
    ClassificationReply,
    ClassificationRequest,
    classified,
    names_classes,
    require,
)
from service.drawing.uploads import MEDIA_TYPES
from service.errors import InvalidField
from service.generator.images import png
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.drawing_call import DrawingCall, model_headers, timing_of
from service.web.http.route import DRAWING_ERRORS, JSON, MODEL_HEADERS, Answer, Body, Parameter, Route
from service.web.http.uploads import read_upload

_decoder = msgspec.json.Decoder(ClassificationRequest)


async def post_classifications(call: Call) -> Reply:
    """POST /v1/classifications."""
    asked = await read_upload(call, _decoder)
    drawing = await DrawingCall.begin(
        call, asked.timeout, lambda: call.models.pick(asked.model, None, names_classes)
    )
    model, n = drawing.model, len(asked.images)
    # Before anything is decoded.
    require(model, call.models)
    if n > drawing.most_images:
        raise InvalidField("images", f"There are {n} pictures; allowed are 1 to {drawing.most_images}.")
    call.take(n)
    timing = Timing()
    body = await unless_client_goes(call.receive, classified(asked, model, drawing.deadline, timing))
    return Reply(200, JSON, body, model_headers(model) | {"server-timing": timing_of(timing)})


_PIXEL = base64.b64encode(png(np.full((1, 1, 1), 128, np.uint8))).decode()
_QUERY = "Beside a picture as the body."
ROUTES = [
    Route(
        *("POST", "/v1/classifications", post_classifications, "sample"),
        "The classes of pictures",
        {
            200: Answer(
                "Of each picture the most likely classes, in that order, and how likely each is.",
                {JSON: ClassificationReply},
                MODEL_HEADERS,
            )
        },
        DRAWING_ERRORS,
        "For a model whose file has an encoder or a classifier beside it that gives logits: its card says so. The body is JSON, or one picture "
        "as it is, with the other fields in the query. Passes share the lanes with all others; limits and errors are those of /v1/samples.",
        Body(
            ClassificationRequest, {"one grey pixel": {"images": [_PIXEL]}}, dict.fromkeys(MEDIA_TYPES, str)
        ),
        [
            Parameter("model", f"{_QUERY} Model name, or name@version.", "query"),
            Parameter("top", f"{_QUERY} How many classes are told, 1 to {MOST_TOP}.", "query", int),
            Parameter("timeout", f"{_QUERY} Seconds until 504.", "query", float),
        ],
    )
]
