"""What /openapi.json says of the routes of OpenAI's and BentoML's clients."""

from service.web.clients.bento import SCHEMA, BentoRequest
from service.web.clients.openai import GENERATIONS, RENAMED, GenerationRequest, Generations, OpenAIErrorReply
from service.web.http.openapi_parts import (
    BODY_ERRORS,
    LABELS_HEADER,
    MODEL,
    MODEL_HEADERS,
    SAMPLING_ERRORS,
    SEED,
    TIMEOUT,
    TRUNCATION,
    Object,
    answer,
    body,
    json,
    operation,
    problems,
    reference,
)

STRUCTS = [GenerationRequest, Generations, OpenAIErrorReply, BentoRequest]
"""Their schemas belong among the components; those inside them come with them."""

_IGNORED = "Taken, and without effect: a generator has one way to draw."

# By struct and field; {settings} is the server's.
FIELDS: dict[str, dict[str, str]] = {
    GenerationRequest.__name__: {
        "prompt": "Names one class: its name in any case, slug or index, or a few words with the name in them, singular or plural (`two ankle boots`). Where names overlap the longest is meant; no class, or several, is a 400 that lists them. An unconditional model ignores the prompt, which may then be empty or absent.",
        "model": MODEL,
        "n": "How many images, 1 to {settings.max_images_per_request}; by default 1.",
        "size": "`auto`, or WIDTHxHEIGHT with the aspect ratio of the generator's own size and sides of at most 1024: nearest neighbour for whole factors, else Lanczos. In sizes not its own, a reply has at most 16,777,216 pixels. By default the generator's own.",
        "response_format": "`b64_json`, the default for every model, or `url`: addresses of single images that can be cached for ever, in the generator's own size, as png or webp, at the server's public URL or the host of the request.",
        "output_format": "`png`, the default; `webp`, lossless; or `jpeg`.",
        "output_compression": "Quality of a jpeg, 0 to 100; by default 100, which is all that png and webp have.",
        "seed": f"Ours. {SEED} Image i has seed + i.",
        "truncation": f"Ours. {TRUNCATION}",
        "timeout": f"Ours. {TIMEOUT}",
        "stream": "Only false: images come whole, in one reply.",
        "quality": _IGNORED,
        "style": _IGNORED,
        "background": _IGNORED,
        "moderation": _IGNORED,
        "complexity": _IGNORED,
        "user": _IGNORED,
        "safety_identifier": _IGNORED,
    },
    BentoRequest.__name__: {
        "model": MODEL,
        "label": "Class name in any case, its slug, or its index. Absent: image i has class (seed + i) mod K.",
        "n": "How many images, 1 to {settings.max_images_per_request}; by default 1.",
        "seed": SEED,
        "truncation": TRUNCATION,
        "timeout": TIMEOUT,
    },
}

_ADDRESS_HEADERS = MODEL_HEADERS | LABELS_HEADER | {"ganserve-seeds": "Seed of the image, or first-last."}
_ERRORS = SAMPLING_ERRORS + BODY_ERRORS
_ARRAY: Object = {"type": "integer", "minimum": 0, "maximum": 255}
for _axis in ("channels: 1 (grey) or 3 (RGB)", "width", "height", "n"):
    _ARRAY = {"type": "array", "items": _ARRAY, "description": _axis}

PATHS: Object = {
    GENERATIONS: {
        "post": operation(
            "OpenAI's Images API",
            {
                "200": answer(
                    "The images, or their addresses.",
                    json(reference(Generations.__name__)),
                    _ADDRESS_HEADERS,
                )
            }
            | problems(_ERRORS, json(reference(OpenAIErrorReply.__name__)), renamed=RENAMED),
            "For OpenAI's clients, with this server's /v1 as their `base_url`, and any key where none is configured. The prompt names a "
            "class; each image of the reply has its `seed`, and the class as `revised_prompt`.",
            requestBody=body(
                GenerationRequest.__name__,
                four_sneakers={"prompt": "a photo of a sneaker", "n": 4},
                addresses={"prompt": "Bag", "n": 2, "seed": 7, "response_format": "url"},
                larger={"prompt": "ankle boots", "size": "256x256", "output_format": "jpeg"},
            ),
        )
    },
    "/sample": {
        "post": operation(
            "BentoML's own clients",
            {"200": answer("uint8 [n, height, width, channels].", json(_ARRAY), _ADDRESS_HEADERS)}
            | problems(_ERRORS),
            "`bentoml.SyncHTTPClient(url).sample(label='Sneaker', n=4)` is an ndarray uint8 "
            "[n, height, width, channels]. As nested lists, the only form those clients read: for many images "
            "/v1/samples with format npy is quicker.",
            requestBody=body(BentoRequest.__name__, four_sneakers={"label": "Sneaker", "n": 4, "seed": 1}),
        )
    },
    SCHEMA: {
        "get": operation(
            "The methods that BentoML's clients find",
            {"200": answer("Names, routes, inputs and outputs.", json({"type": "object"}))} | problems(()),
            "BentoML's own document.",
        )
    },
}
