"""POST /v1/samples."""

import time
from dataclasses import dataclass

import msgspec

from service.batching.request_queue import Request, Settle
from service.drawing.sampler import Draw, SampleRequest, begin, resolve, sample
from service.generator.images import MEDIA_TYPES
from service.keys import Charge
from service.registry.models import Models
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.bodies import decode_request, read_json
from service.web.http.drawing_call import awake, deadline_of, drawn_headers

_decoder = msgspec.json.Decoder(SampleRequest)

SAMPLES = "/v1/samples"


@dataclass(slots=True)
class Sampling:
    """A POST /v1/samples that was understood: what is drawn, and how it is answered."""

    asked: SampleRequest
    draw: Draw
    request: Request | None = None
    """Its place in the queue, where no task waits for it."""

    def cancel(self) -> None:
        """The client has gone."""
        if self.request is not None:
            self.draw.model.batcher.cancel(self.request)

    def reply(self, body: bytes) -> Reply:
        return Reply(200, MEDIA_TYPES[self.asked.format], body, drawn_headers(self.draw))


async def post_samples(call: Call) -> Reply:
    """POST /v1/samples."""
    settings = call.models.settings
    asked = decode_request(await read_json(call), _decoder)
    deadline = deadline_of(call.begun, asked.timeout, settings.timeout_seconds)
    model = await awake(call, deadline, lambda: call.models.pick(asked.model, asked.seed))
    draw = resolve(asked, model, settings.max_images_per_request)
    call.take(len(draw.z))
    work = sample(draw, asked.format, asked.include_z, deadline)
    return Sampling(asked, draw).reply(await unless_client_goes(call.receive, work))


def begin_samples(
    body: bytes, models: Models, begun: float, settle: Settle, charge: Charge | None
) -> Sampling:
    """The same for web.wire, which waits in no task: `settle` is called with the body of the reply.

    Raises whatever is wrong with the body; QuotaExceeded; Idle; what Batcher.enqueue raises.
    """
    asked = decode_request(body, _decoder)
    model = models.pick(asked.model, asked.seed)
    model.require_ready()
    draw = resolve(asked, model, models.settings.max_images_per_request)
    if charge is not None:
        charge.take(len(draw.z), time.monotonic())
    deadline = deadline_of(begun, asked.timeout, models.settings.timeout_seconds)
    return Sampling(asked, draw, begin(draw, asked.format, asked.include_z, deadline, settle))
