"""POST /v1/samples."""

import time
from dataclasses import dataclass

import msgspec

from service.batching.request_queue import Request, Settle
from service.drawing.draw import Draw
from service.drawing.formats import MEDIA_TYPES
from service.drawing.sampler import (
    Encoding,
    JsonReply,
    SampleRequest,
    begin,
    encoding_of,
    resolve,
    sample,
)
from service.keys import Charge
from service.registry.models import Models
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import decode_request, read_request
from service.web.http.drawing_call import DrawingCall, accepted, deadline_of, drawn_headers
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Route

_decoder = msgspec.json.Decoder(SampleRequest)

SAMPLES = "/v1/samples"


@dataclass(slots=True)
class Sampling:
    """A POST /v1/samples that was understood, for connection/wire.py: what is drawn, and how it is answered."""

    encoding: Encoding
    draw: Draw
    request: Request
    """Its place in the queue."""

    def cancel(self) -> None:
        """The client has gone."""
        self.draw.model.batcher.cancel(self.request)

    def reply(self, body: bytes) -> Reply:
        return Reply(200, MEDIA_TYPES[self.encoding.format], body, drawn_headers(self.draw))


async def post_samples(call: Call) -> Reply:
    """POST /v1/samples."""
    asked = await read_request(call, _decoder)
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed))
    draw = drawing.resolve(asked)
    encoding = encoding_of(asked, draw, accepted(call.scope))
    return await drawing.reply(
        draw, MEDIA_TYPES[encoding.format], lambda: sample(draw, encoding, drawing.deadline)
    )


def begin_samples(
    body: bytes,
    models: Models,
    begun: float,
    settle: Settle,
    charge: Charge | None,
    accepted: str | None = None,
) -> Sampling:
    """The same for connection/wire.py, which waits in no task: `settle` is called with the body of the reply.

    accepted: the format that the client's Accept header likes best, if it says so. Raises whatever is wrong with the body; QuotaExceeded; Idle; what Batcher.enqueue raises.
    """
    asked = decode_request(body, _decoder)
    model = models.pick(asked.model, asked.seed)
    model.require_ready()
    most = model.contract.image.most_images(models.settings.max_images_per_request)
    deadline = deadline_of(begun, asked.timeout, models.settings.timeout_seconds)
    admission = model.batcher.admission
    if admission.is_refusing and (asked.n or 1) <= most:  # before there is work in it
        admission.check(model.line, asked.n or 1, deadline - begun)
    draw = resolve(asked, model, most)
    encoding = encoding_of(asked, draw, accepted)
    if charge is not None:
        charge.take(len(draw.z), time.monotonic())
    return Sampling(encoding, draw, begin(draw, encoding, deadline, settle))


_CONTENT = {kind: JsonReply if kind == JSON else str for kind in MEDIA_TYPES.values()}
_SEEDS_HEADER = {"ganserve-seeds": "Seed of the image, or first-last; absent where z was given."}
ROUTES = [
    Route(
        *("POST", SAMPLES, post_samples, "sample"),
        "Conditional samples",
        {
            200: Answer(
                "The images, in the format asked for.",
                _CONTENT,
                IMAGE_HEADERS | _SEEDS_HEADER,
            )
        },
        DRAWING_ERRORS,
        body=Body(SampleRequest, {"sixteen sneakers": {"label": "Sneaker", "n": 16, "seed": 1}}),
    )
]
