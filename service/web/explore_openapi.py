"""What /openapi.json says of /v1/interpolations and /v1/arithmetic."""

from typing import Any

from service.arithmetic import ArithmeticRequest, Term
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
from service.paths import InterpolationRequest

STRUCTS = [InterpolationRequest, ArithmeticRequest]
"""Their schemas belong among the components; Term's comes with them."""

# By struct and field; {settings} is the server's.
FIELDS: dict[str, dict[str, str]] = {
    InterpolationRequest.__name__: {
        "model": "Model name, or name@version; by default the server's default model.",
        "seeds": "The points, as seeds: 2 to 32 of them.",
        "z": "The points, as rows of z_dim numbers, instead of seeds.",
        "label": "Class of all points, or a list of one a point: name in any case, slug or index. A generator takes whole classes only, so where two points differ the class changes half way between them. Absent: a seed's own class, seed mod K; for z, class 0. A list without seeds and z: the same z through these classes.",
        "seed": "With a list of labels and neither seeds nor z: the one seed of all points; by default drawn below 2^32, and returned.",
        "steps": "Images from one point to the next, both ends counted; a point that two stretches share is one image. The whole way has at most {settings.max_images_per_request} images.",
        "path": "`spherical` (White 2016) keeps the length of z, as the generator knows it; `linear` is the straight line of Goodfellow et al. 2014, figure 3, whose middle is shorter. Between parallel or opposite points both are the straight line.",
        "loop": "Go on from the last point to the first, whose image is not repeated.",
        "truncation": "z is multiplied by it: less variety, more typical images.",
        "format": "`png` and `webp`: the images in one row (WebP at most 16,383 pixels wide). `gif`: one after another, for ever; 256 colours a frame. `npy`: uint8 [n, H, W, C]. `json`: each image with its label, its seed if it is one's own, and its z, which posted to /v1/samples gives the same image.",
        "frame_milliseconds": "How long format gif shows each image, to the nearest 10; the same image twice is one, for twice as long.",
        "timeout": "Seconds until 504; at most the server's {settings.timeout_seconds}.",
    },
    ArithmeticRequest.__name__: {
        "terms": "What is added: 1 to 16 terms, not all with weight 0.",
        "model": "Model name, or name@version; by default the server's default model.",
        "label": "Class of the sum: name in any case, slug or index; by default the first term's, else 0.",
        "normalize": "Scale the sum to length sqrt(z_dim), which the generator knows; false: leave it as it is. Terms that cancel out have no direction to scale: 422.",
        "truncation": "z is multiplied by it, after the sum was scaled: less variety, more typical images.",
        "format": "`png` and `webp`: the images in one row. `npy`: uint8 [n, H, W, C]. `json`: each image with its label, its seed if it is one's own, and its z, which posted to /v1/samples gives the same image.",
        "include_terms": "The picture of each term's average first, the sum's last, as in figure 7 of Radford et al. 2016. Averages of several seeds are scaled as the sum is; a term of one seed is that seed's own image.",
        "timeout": "Seconds until 504; at most the server's {settings.timeout_seconds}.",
    },
    Term.__name__: {
        "weight": "What the term's average is multiplied by: any finite number.",
        "seeds": "Seeds whose z are averaged: 1 to 64; three make a steadier direction than one.",
        "label": "Class of the term's own picture; by default the sum's. It has no part in the sum, which is of z alone.",
    },
}

_HEADERS = {
    "ganserve-model": "Model name.",
    "ganserve-version": "Model version, 12 hex digits of the file's SHA-256.",
    "ganserve-engine": "What ran the forward passes.",
    "server-timing": "Milliseconds in the queue, in forward passes and in encoding.",
}
_INTERPOLATION_HEADERS = {
    "ganserve-seeds": "Seeds of the points, or the one seed of all; absent where z was given.",
    "ganserve-labels": "Class indexes of the points, or the one class of all; absent for an unconditional model.",
}
_ARITHMETIC_HEADERS = {
    "ganserve-labels": "Class index of all images, or one an image; absent for an unconditional model."
}
_ERRORS: tuple[type[RequestError | ServiceError], ...] = (
    *(InvalidField, UnknownModel, QueueFull, EngineFailed, NotReady, Draining, DeadlinePassed),
    *(NotJson, BodyTimeout, BodyTooLarge, UnsupportedType, MethodNotAllowed, ServiceError),
)


def _operation(
    summary: str,
    description: str,
    kinds: str,
    request: str,
    headers: dict[str, str],
    examples: dict[str, Any],
) -> dict[str, Any]:
    content: dict[str, Any] = {
        kind: {"schema": {"type": "string", "contentMediaType": kind}} for kind in kinds.split()
    }
    content["application/json"] = {"schema": {"$ref": "#/components/schemas/JsonReply"}}
    answers: dict[str, Any] = {
        "200": {
            "description": "The images, in the format asked for.",
            "content": content,
            "headers": {
                name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
            },
        }
    }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted({error.status for error in _ERRORS}):
        texts = [f"`{error.code}`: {error.title}." for error in _ERRORS if error.status == status]
        answers[str(status)] = {"description": " ".join(texts), "content": problem}
    body = {
        "schema": {"$ref": f"#/components/schemas/{request}"},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {
        "summary": summary,
        "description": description,
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": answers,
    }


PATHS: dict[str, Any] = {
    "/v1/interpolations": {
        "post": _operation(
            "Images on the way between two or more",
            "From point to point through z, in equal steps. The images share forward passes, limits and errors "
            "with those of /v1/samples.",
            "image/png image/webp image/gif application/x-npy",
            InterpolationRequest.__name__,
            _HEADERS | _INTERPOLATION_HEADERS,
            {
                "between two seeds": {"seeds": [1, 2], "label": "Sneaker", "steps": 8},
                "a loop that plays": {"seeds": [1, 2, 3], "label": 9, "loop": True, "format": "gif"},
                "one z through three classes": {"label": [5, 7, 9], "seed": 4, "steps": 2},
            },
        )
    },
    "/v1/arithmetic": {
        "post": _operation(
            "Sums of images, in z",
            "Weighted sums of averaged z (Radford et al. 2016, section 6.3.2). The images share forward passes, "
            "limits and errors with those of /v1/samples.",
            "image/png image/webp application/x-npy",
            ArithmeticRequest.__name__,
            _HEADERS | _ARITHMETIC_HEADERS,
            {
                "a - b + c": {
                    "terms": [
                        {"weight": 1, "seeds": [1, 2, 3]},
                        {"weight": -1, "seeds": [4, 5, 6]},
                        {"weight": 1, "seeds": [7, 8, 9]},
                    ],
                    "label": "Sneaker",
                    "include_terms": True,
                }
            },
        )
    },
}
