"""/v1: samples, image addresses, models."""

import re
import time
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import parse_qsl, quote

import msgspec

from service.errors import InvalidField, NotJson, UnknownRoute, UnsupportedType
from service.images import MEDIA_TYPES
from service.latents import MAX_SEED
from service.models import Model, Models
from service.request_queue import Request, Settle
from service.sampler import Draw, Format, SampleRequest, begin, label_index, resolve, sample
from service.web.asgi import Call, Reply, Scope, header, read_body, unless_client_goes

_decoder = msgspec.json.Decoder(SampleRequest)
JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_IMAGE_FILE = re.compile(r"(\d{1,16})\.(png|webp)", re.ASCII)

SAMPLES = "/v1/samples"
IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(slots=True)
class Sampling:
    """A POST /v1/samples that was understood: what is drawn, and how it is answered."""

    asked: SampleRequest
    draw: Draw
    deadline: float
    request: Request | None = None
    """Its place in the queue, where no task waits for it."""

    def cancel(self) -> None:
        """The client has gone."""
        if self.request is not None and self.draw.model.batcher is not None:
            self.draw.model.batcher.cancel(self.request)

    def reply(self, body: bytes) -> Reply:
        return Reply(200, MEDIA_TYPES[self.asked.format], body, address_headers(self.draw))


async def post_samples(call: Call) -> Reply:
    """POST /v1/samples."""
    settings = call.models.settings
    begun = time.monotonic()
    require_json(call.scope)
    body = await read_body(call.scope, call.receive, settings.max_body_bytes, settings.timeout_seconds)
    sampling = read_samples(body, call.models, begun)
    work = sample(sampling.draw, sampling.asked.format, sampling.asked.include_z, sampling.deadline)
    return sampling.reply(await unless_client_goes(call.receive, work))


def begin_samples(body: bytes, models: Models, begun: float, settle: Settle) -> Sampling:
    """The same for web.wire, which waits in no task: `settle` is called with the body of the reply."""
    sampling = read_samples(body, models, begun)
    asked = sampling.asked
    sampling.request = begin(sampling.draw, asked.format, asked.include_z, sampling.deadline, settle)
    return sampling


def read_samples(body: bytes, models: Models, begun: float) -> Sampling:
    """What a body asks for. Raises whatever is wrong with it."""
    settings = models.settings
    asked = decode_request(body)
    model = models.find(asked.model)
    model.require_ready()
    draw = resolve(asked, model, settings.max_images_per_request)
    longest = settings.timeout_seconds
    return Sampling(asked, draw, begun + (longest if asked.timeout is None else min(asked.timeout, longest)))


async def get_image(call: Call, model: str, file: str, label: str | None = None) -> Reply:
    """GET /v1/models/{model}/images/{label}/{seed}.png: to the versioned address, or from it.

    Without a label, the image has class seed mod K.
    """
    match = _IMAGE_FILE.fullmatch(file)
    if match is None:
        raise UnknownRoute(
            f"'{file[:64]}' is no image: allowed are a seed, 0 to {MAX_SEED}, and .png or .webp."
        )
    generator = call.models.find(model)
    generator.require_ready()
    query, truncation = _truncation(call.scope)
    index = None if label is None else label_index(label, generator.contract)
    seed, format = int(match[1]), cast(Format, match[2])
    if seed > MAX_SEED:
        raise InvalidField("seed", f"seed is {seed}; it can be at most {MAX_SEED}.")
    name = f"{seed}.{format}" if index is None else f"{generator.contract.slugs[index]}/{seed}.{format}"
    if "@" not in model:
        location = f"/v1/models/{generator.name}@{generator.version}/images/{quote(name)}{query}"
        return Reply(307, "text/plain", b"", {"location": location, "cache-control": "no-cache"})
    # Another engine or precision may change low bits, so the tag of the bytes names them.
    engine = generator.engine
    etag = f'"{generator.version}-{engine.name}-{engine.precision}-{quote(name)}-{truncation}"'
    headers = {"etag": etag, "cache-control": IMMUTABLE}
    if _matches(header(call.scope, b"if-none-match"), etag):
        return Reply(304, MEDIA_TYPES[format], b"", headers)
    draw = resolve(SampleRequest(label=index, seed=seed, truncation=truncation), generator, 1)
    deadline = time.monotonic() + call.models.settings.timeout_seconds
    body = await unless_client_goes(call.receive, sample(draw, format, False, deadline))
    return Reply(200, MEDIA_TYPES[format], body, headers | address_headers(draw))


async def list_models(call: Call) -> Reply:
    """GET /v1/models, in the OpenAI list shape with our fields added."""
    return _json({"object": "list", "data": [card(model) for model in call.models.values()]})


async def get_model(call: Call, model: str) -> Reply:
    """GET /v1/models/{model}."""
    return _json(card(call.models.find(model)))


def card(model: Model) -> dict[str, Any]:
    """What there is to know about a model: also of one that is loading, or failed."""
    facts: dict[str, Any] = {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "ganserve",
        "version": model.version or None,
        "state": model.state,
        "problem": model.problem or None,
    }
    if model.state != "ready":
        return facts
    contract, engine = model.contract, model.engine
    golden = None if model.golden is None else msgspec.to_builtins(model.golden) | {"unit": "uint8 levels"}
    return facts | {
        "classes": contract.classes,
        "slugs": contract.slugs if contract.classes else None,
        "z_dim": contract.z_dim,
        "image": contract.image,
        "engine": {
            "name": engine.name,
            "provider": engine.provider,
            "precision": engine.precision,
            "reason": engine.reason,
            "lanes": len(engine.lanes),
            "max_batch": model.line.queue.max_batch,
        },
        "golden": golden,
        "training": contract.training,
        "quality": contract.quality,
    }


def decode_request(body: bytes) -> SampleRequest:
    """Raises NotJson, or InvalidField with the field that the decoder names."""
    try:
        return _decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"The body must be a JSON object: {error}") from None


def invalid_field(error: msgspec.ValidationError) -> InvalidField:
    """msgspec's `Expected `int`, got `str` - at `$.n`` -> the field and the rest."""
    text, _, path = str(error).partition(" - at `$")
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown:
        allowed = ", ".join(SampleRequest.__struct_fields__)
        return InvalidField(unknown[1][:64], f"There is no field '{unknown[1][:64]}'; allowed are {allowed}.")
    field = path.strip("`.") or "body"
    if text.startswith("Invalid enum value"):
        text += f"; allowed are {', '.join(get_args(Format))}"
    return InvalidField(field, text + ".")


def require_json(scope: Scope) -> None:
    """Raises UnsupportedType for a declared content type other than JSON."""
    declared = header(scope, b"content-type")
    if declared is not None and not JSON_TYPE.match(declared):
        raise UnsupportedType(f"The content type is '{declared[:64]}'; allowed is application/json.")


def address_headers(draw: Draw) -> dict[str, str]:
    """Where the images can be asked for again: model, version, labels and seeds."""
    model = draw.model
    headers = {
        "ganserve-model": model.name,
        "ganserve-version": model.version,
        "ganserve-engine": model.engine.name,
    }
    if draw.seeds is not None:
        headers["ganserve-seeds"] = _span(draw.seeds)
    if draw.label is not None:
        # One index if all are the same: headers must stay within what proxies accept.
        same = len(set(draw.label)) == 1
        headers["ganserve-labels"] = str(draw.label[0]) if same else ",".join(map(str, draw.label))
    return headers


def _span(seeds: range) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"


def _truncation(scope: Scope) -> tuple[str, float]:
    """The query as it is kept in the address, and its truncation. Raises InvalidField."""
    text = scope.get("query_string", b"").decode("latin-1")
    if not text:
        return "", 1.0
    fields = parse_qsl(text, keep_blank_values=True)
    if [name for name, _ in fields] != ["truncation"]:
        unknown = next((name for name, _ in fields if name != "truncation"), "truncation")
        raise InvalidField(unknown[:64], "Allowed in the query is one truncation, above 0 and at most 1.")
    try:
        value = float(fields[0][1])
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise InvalidField(
            "truncation", f"truncation is '{fields[0][1][:64]}'; allowed is above 0 and at most 1."
        )
    return f"?truncation={value!r}", value


def _matches(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def _json(document: Any) -> Reply:
    return Reply(200, "application/json", msgspec.json.encode(document))
