"""What /openapi.json says of the routes of OpenAI's and BentoML's clients."""

from typing import Any

from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlinePassed,
    Draining,
    EngineFailed,
    InvalidField,
    MethodNotAllowed,
    NotJson,
    NotReady,
    QueueFull,
    RequestError,
    ServiceError,
    UnknownModel,
    UnsupportedType,
)
from service.web.bento import SCHEMA, BentoRequest
from service.web.openai import GENERATIONS, GenerationRequest, Generations, OpenAIErrorReply

STRUCTS = [GenerationRequest, Generations, OpenAIErrorReply, BentoRequest]
"""Their schemas belong among the components; those inside them come with them."""

_MODEL = "Model name, or name@version; by default the server's default model."
_SEED = "Seed of the first image; by default drawn below 2^32, and returned."
_TRUNCATION = "z is multiplied by it: less variety, more typical images; by default 1."
_TIMEOUT = "Seconds until 504; at most the server's {settings.timeout_seconds}."
_IGNORED = "Taken, and without effect: a generator has one way to draw."

# By struct and field; {settings} is the server's.
FIELDS: dict[str, dict[str, str]] = {
    GenerationRequest.__name__: {
        "prompt": "Names one class: its name in any case, slug or index, or a few words with the name in them, singular or plural (`two ankle boots`). Where names overlap the longest is meant; no class, or several, is a 400 that lists them. An unconditional model ignores the prompt, which may then be empty or absent.",
        "model": _MODEL,
        "n": "How many images, 1 to {settings.max_images_per_request}; by default 1.",
        "size": "`auto`, or WIDTHxHEIGHT with the aspect ratio of the generator's own size and sides of at most 1024: nearest neighbour for whole factors, else Lanczos. In sizes not its own, a reply has at most 16,777,216 pixels. By default the generator's own.",
        "response_format": "`b64_json`, the default for every model, or `url`: addresses of single images that can be cached for ever, in the generator's own size, as png or webp. An address has the host of the request.",
        "output_format": "`png`, the default; `webp`, lossless; or `jpeg`.",
        "output_compression": "Quality of a jpeg, 0 to 100; by default 100, which is all that png and webp have.",
        "seed": f"Ours. {_SEED} Image i has seed + i.",
        "truncation": f"Ours. {_TRUNCATION}",
        "timeout": f"Ours. {_TIMEOUT}",
        "stream": "Only false: images come whole, in one reply.",
        "quality": _IGNORED,
        "style": _IGNORED,
        "background": _IGNORED,
        "moderation": _IGNORED,
        "user": _IGNORED,
    },
    BentoRequest.__name__: {
        "model": _MODEL,
        "label": "Class name in any case, its slug, or its index. Absent: image i has class (seed + i) mod K.",
        "n": "How many images, 1 to {settings.max_images_per_request}; by default 1.",
        "seed": _SEED,
        "truncation": _TRUNCATION,
        "timeout": _TIMEOUT,
    },
}

_ADDRESS_HEADERS = {
    "ganserve-model": "Model name.",
    "ganserve-version": "Model version, 12 hex digits of the file's SHA-256.",
    "ganserve-engine": "What runs the forward passes.",
    "ganserve-seeds": "Seed of the image, or first-last.",
    "ganserve-labels": "Class index of all images, or one an image; absent for an unconditional model.",
    "server-timing": "Milliseconds in the queue, in forward passes and in encoding; absent with addresses.",
}
_ERRORS: tuple[type[RequestError | ServiceError], ...] = (
    *(InvalidField, UnknownModel, QueueFull, EngineFailed, NotReady, Draining, DeadlinePassed),
    *(NotJson, BodyTimeout, BodyTooLarge, UnsupportedType, MethodNotAllowed, ServiceError),
)
# Where OpenAI has a code of its own, or another status.
_OPENAI = {
    InvalidField: (400, "invalid_value"),
    UnknownModel: (404, "model_not_found"),
    QueueFull: (429, "rate_limit_exceeded"),
}


def _reference(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _answer(description: str, content: dict[str, Any]) -> dict[str, Any]:
    headers = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _ADDRESS_HEADERS.items()
    }
    return {"200": {"description": description, "content": {"application/json": content}, "headers": headers}}


def _problems(known: dict[Any, tuple[int, str]], media_type: str, schema: str) -> dict[str, Any]:
    texts: dict[int, list[str]] = {}
    for error in _ERRORS:
        status, code = known.get(error, (error.status, error.code))
        texts.setdefault(status, []).append(f"`{code}`: {error.title}.")
    return {
        str(status): {"description": " ".join(said), "content": {media_type: _reference(schema)}}
        for status, said in sorted(texts.items())
    }


def _body(name: str, examples: dict[str, Any]) -> dict[str, Any]:
    content = _reference(name) | {"examples": {key: {"value": value} for key, value in examples.items()}}
    return {"required": True, "content": {"application/json": content}}


_ARRAY: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 255}
for _axis in ("channels: 1 (grey) or 3 (RGB)", "width", "height", "n"):
    _ARRAY = {"type": "array", "items": _ARRAY, "description": _axis}

PATHS: dict[str, Any] = {
    GENERATIONS: {
        "post": {
            "summary": "OpenAI's Images API",
            "description": "For OpenAI's clients, with this server's /v1 as their `base_url` and any key. The prompt "
            "names a class; each image of the reply has its `seed`, and the class as `revised_prompt`.",
            "requestBody": _body(
                GenerationRequest.__name__,
                {
                    "four sneakers": {"prompt": "a photo of a sneaker", "n": 4},
                    "addresses": {"prompt": "Bag", "n": 2, "seed": 7, "response_format": "url"},
                    "larger": {"prompt": "ankle boots", "size": "256x256", "output_format": "jpeg"},
                },
            ),
            "responses": _answer("The images, or their addresses.", _reference(Generations.__name__))
            | _problems(_OPENAI, "application/json", OpenAIErrorReply.__name__),
        }
    },
    "/sample": {
        "post": {
            "summary": "BentoML's own clients",
            "description": "`bentoml.SyncHTTPClient(url).sample(label='Sneaker', n=4)` is an ndarray uint8 "
            "[n, height, width, channels]. As nested lists, the only form those clients read: for many images "
            "/v1/samples with format npy is quicker.",
            "requestBody": _body(
                BentoRequest.__name__, {"four sneakers": {"label": "Sneaker", "n": 4, "seed": 1}}
            ),
            "responses": _answer("uint8 [n, height, width, channels].", {"schema": _ARRAY})
            | _problems({}, "application/problem+json", "Problem"),
        }
    },
    SCHEMA: {
        "get": {
            "summary": "The methods that BentoML's clients find",
            "description": "BentoML's own document.",
            "responses": {
                "200": {
                    "description": "Names, routes, inputs and outputs.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                **{
                    str(error.status): {
                        "description": f"`{error.code}`: {error.title}.",
                        "content": {"application/problem+json": _reference("Problem")},
                    }
                    for error in (MethodNotAllowed, ServiceError)
                },
            },
        }
    },
}
