"""POST /v1/samples."""

import re
import time
from dataclasses import dataclass
from typing import TypeVar, get_args, get_type_hints

import msgspec

from service.errors import InvalidField, NotJson, UnsupportedType
from service.images import MEDIA_TYPES
from service.keys import Charge
from service.models import Models
from service.request_queue import Request, Settle
from service.sampler import Draw, SampleRequest, begin, resolve, sample
from service.web.asgi import Call, Reply, Scope, header, read_body, unless_client_goes
from service.web.drawing_call import awake, deadline_of, drawn_headers

T = TypeVar("T", bound=msgspec.Struct)

_decoder = msgspec.json.Decoder(SampleRequest)
JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.ASCII | re.IGNORECASE)

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
        if self.request is not None and self.draw.model.batcher is not None:
            self.draw.model.batcher.cancel(self.request)

    def reply(self, body: bytes) -> Reply:
        return Reply(200, MEDIA_TYPES[self.asked.format], body, drawn_headers(self.draw))


async def post_samples(call: Call) -> Reply:
    """POST /v1/samples."""
    settings = call.models.settings
    require_json(call.scope)
    body = await read_body(call.scope, call.receive, settings.max_body_bytes, settings.timeout_seconds)
    asked = decode_request(body, _decoder)
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


def decode_request(body: bytes, decoder: msgspec.json.Decoder[T], **parts: type[msgspec.Struct]) -> T:
    """A body as the struct of `decoder`. Raises NotJson, or InvalidField with the field that the decoder names.

    parts: the struct that a field's entries are made of, where they are structs.
    """
    try:
        return decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise invalid_field(error, decoder.type, **parts) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"The body must be a JSON object: {error}") from None


def invalid_field(
    error: msgspec.ValidationError, kind: type[msgspec.Struct], **parts: type[msgspec.Struct]
) -> InvalidField:
    """msgspec's `Expected `int`, got `str` - at `$.n`` -> the field and the rest."""
    text, _, path = str(error).partition(" - at `$")
    field = path.strip("`.")
    inside = parts.get(field.partition("[")[0], kind)
    within = f"{field}." if field else ""
    if unknown := re.search(r"unknown field `(.*)`", text):
        name, allowed = within + unknown[1][:64], ", ".join(inside.__struct_fields__)
        return InvalidField(name, f"There is no field '{name}'; allowed are {allowed}.")
    if missing := re.search(r"missing required field `(.*)`", text):
        return InvalidField(within + missing[1], f"The field '{within}{missing[1]}' is missing.")
    if text.startswith("Invalid enum value"):
        # Of `Literal[...]`, and of `Literal[...] | None`.
        parts_of = [get_args(one) or (one,) for one in get_args(get_type_hints(inside).get(field))]
        text += f"; allowed are {', '.join(one for part in parts_of for one in part if isinstance(one, str))}"
    return InvalidField(field or "body", text + ".")


def require_json(scope: Scope) -> None:
    """Raises UnsupportedType for a declared content type other than JSON."""
    declared = header(scope, b"content-type")
    if declared is not None and not JSON_TYPE.match(declared):
        raise UnsupportedType(f"The content type is '{declared[:64]}'; allowed is application/json.")
