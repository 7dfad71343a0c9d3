"""GET /v1/models/{model}/images/...: an image by its address, which browsers and balancers cache for ever."""

import re
from typing import cast
from urllib.parse import parse_qsl, quote

from service.drawing.fields import TRUNCATION, Fraction
from service.drawing.sampler import Format, SampleRequest, label_index, sample
from service.errors import InvalidField, UnknownRoute
from service.generator.images import MEDIA_TYPES
from service.generator.latents import MAX_SEED
from service.web.http.asgi import Call, Reply, Scope, header
from service.web.http.drawing_call import DrawingCall, address_headers
from service.web.http.route import LABELS_HEADER, MODEL_HEADERS, SAMPLING_ERRORS, Answer, Parameter, Route

_IMAGE_FILE = re.compile(r"(\d{1,16})\.(png|webp)", re.ASCII)

IMMUTABLE = "public, max-age=31536000, immutable"
# Where keys are configured, no shared cache may hand a picture to those who have none (docs/security.md).
PRIVATE = IMMUTABLE.replace("public", "private")


async def get_image(call: Call, model: str, file: str, label: str | None = None) -> Reply:
    """GET /v1/models/{model}/images/{label}/{seed}.png: to the versioned address, or from it.

    Without a label, the image has class seed mod K.
    """
    match = _IMAGE_FILE.fullmatch(file)
    if match is None:
        raise UnknownRoute(
            f"'{file[:64]}' is no image: allowed are a seed, 0 to {MAX_SEED}, and .png or .webp."
        )
    seed, format = int(match[1]), cast(Format, match[2])
    drawing = await DrawingCall.begin(call, None, lambda: call.models.pick(model, seed))
    generator = drawing.model
    query, truncation = _truncation(call.scope)
    generator.require_truncation(truncation)
    index = None if label is None else label_index(label, generator.contract)
    if seed > MAX_SEED:
        raise InvalidField("seed", f"seed is {seed}; it can be at most {MAX_SEED}.")
    name = f"{seed}.{format}" if index is None else f"{generator.contract.slugs[index]}/{seed}.{format}"
    if "@" not in model:
        # Relative: right behind whatever proxy, under whatever path and name that gives the service.
        models = "../../" if label is None else "../../../"
        location = f"{models}{generator.name}@{generator.version}/images/{quote(name)}{query}"
        return Reply(307, "text/plain", b"", {"location": location, "cache-control": "no-cache"})
    # Another engine or precision may change low bits, so the tag of the bytes names them.
    engine = generator.engine
    etag = f'"{generator.version}-{engine.name}-{engine.precision}-{quote(name)}-{truncation}{"-xmp" * (generator.provenance is not None)}"'
    headers = {"etag": etag, "cache-control": IMMUTABLE if call.charge is None else PRIVATE}
    if _matches(header(call.scope, b"if-none-match"), etag):
        return Reply(304, MEDIA_TYPES[format], b"", headers)
    draw = drawing.resolve(SampleRequest(label=index, seed=seed, truncation=truncation))
    body = await drawing.finish(draw, lambda: sample(draw, format, False, drawing.deadline))
    return Reply(200, MEDIA_TYPES[format], body, headers | address_headers(draw))


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


_IMAGES = {"image/png": str, "image/webp": str}
_CACHING = {"etag": "Of these bytes.", "cache-control": "Immutable."}
_SEEDS_HEADER = {"ganserve-seeds": "Seed of the image."}
_LOCATION = {"location": "The versioned address, relative to this one."}
_ANSWERS = {
    200: Answer(
        "The image; only under {model}@{version}.",
        _IMAGES,
        MODEL_HEADERS | LABELS_HEADER | _SEEDS_HEADER | _CACHING,
    ),
    304: Answer("The client's copy is good.", headers=_CACHING),
    307: Answer("To the versioned address.", headers=_LOCATION),
}
_MODEL = Parameter("model", "Model name, or name@version.")
_LABEL = Parameter("label", "Class slug, name or index.")
_REST = (
    Parameter("file", "A seed and .png or .webp."),
    Parameter("truncation", TRUNCATION, "query", Fraction),
)
ROUTES = [
    Route(
        *("GET", f"/v1/models/{{model}}/images{label}/{{file}}", get_image, "sample"),
        "The image of a seed",
        _ANSWERS,
        (*SAMPLING_ERRORS, UnknownRoute),
        parameters=parameters,
    )
    for label, parameters in (("", (_MODEL, *_REST)), ("/{label}", (_MODEL, _LABEL, *_REST)))
]
