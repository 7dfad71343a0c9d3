"""What travels to and from OpenAI's clients: requests, replies, errors."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.drawing.fields import (
    SCALARS,
    SEED,
    TIMEOUT,
    TRUNCATION,
    FittingModelName,
    Fraction,
    ModelName,
    Seconds,
    Seed,
)
from service.drawing.formats import Picture
from service.errors import InvalidField, QueueFull, QuotaExceeded, RequestError, UnknownModel
from service.web.http.asgi import Reply
from service.web.http.problems import known, problem_of
from service.web.http.route import JSON, NOBODY, ErrorShape

_Ignored = Annotated[
    str | None, Meta(description="Taken, and without effect: a generator has one way to draw.")
]


class GenerationRequest(Struct, forbid_unknown_fields=True):
    """OpenAI's fields, and seed, truncation, scalars and timeout. null is as good as absent, as it is there."""

    prompt: Annotated[
        Annotated[str, Meta(max_length=4000)] | None,
        Meta(
            description="Names one class: its name in any case, slug or index, or a few words with the name in them, singular or plural (`two ankle boots`). Where names overlap the longest is meant; no class, or several, is a 400 that lists them. A model whose card has an input of the role text draws what the prompt says. Any other unconditional model ignores the prompt, which may then be empty or absent."
        ),
    ] = None
    model: ModelName = None
    n: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="How many images, 1 to {settings.max_images_per_request}; by default 1."),
    ] = None
    size: Annotated[
        str | None,
        Meta(
            description="`auto`, or WIDTHxHEIGHT: the largest size within it that has the aspect ratio of the generator's own and sides of at most 1024, or else the generator's own. Where that is not what was asked for, the header `ganserve-size` says it, as does the reply's `size`. Nearest neighbour for whole factors, else Lanczos. In sizes not its own, a reply has at most 16,777,216 pixels. By default the generator's own."
        ),
    ] = None
    response_format: Annotated[
        Literal["b64_json", "url"] | None,
        Meta(
            description="`b64_json`, or `url`: addresses of single images that can be cached for ever, at the server's public URL or the host of the request. By default each image has both."
        ),
    ] = None
    output_format: Annotated[
        Picture | None,
        Meta(description="`png`, the default; `webp`, lossless; `jpeg`; or `avif`, which is not OpenAI's."),
    ] = None
    output_compression: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(
            description="Quality of a jpeg or avif, 0 to 100; by default 100, which is all that png and webp have."
        ),
    ] = None
    seed: Annotated[Seed | None, Meta(description=f"Ours. {SEED} Image i has seed + i.")] = None
    truncation: Annotated[Fraction | None, Meta(description=f"Ours. {TRUNCATION}")] = None
    scalars: Annotated[
        dict[str, float | list[float]] | None,
        Meta(description=f"Ours. {SCALARS[:-1]}; a list has one per image."),
    ] = None
    timeout: Annotated[Seconds | None, Meta(description=f"Ours. {TIMEOUT}")] = None
    stream: Annotated[
        bool | None,
        Meta(
            description="Server-sent events, one `image_generation.completed` for each image. A generator draws an image in one pass, so no `image_generation.partial_image` comes before it."
        ),
    ] = None
    partial_images: Annotated[
        Annotated[int, Meta(ge=0, le=3)] | None,
        Meta(description="Taken, and without effect: the final images come at once."),
    ] = None
    quality: _Ignored = None
    style: _Ignored = None
    background: _Ignored = None
    moderation: _Ignored = None
    complexity: _Ignored = None
    user: _Ignored = None
    safety_identifier: _Ignored = None


class EditRequest(GenerationRequest, forbid_unknown_fields=True, kw_only=True):
    """OpenAI's fields of an edit, as a form has them, and seed, truncation, scalars (`scalars[NAME]`) and timeout."""

    image: Annotated[
        list[bytes],
        Meta(
            min_length=1,
            description="A file, PNG, JPEG or WebP; or several, as `image[]`, each of which becomes an image of its own. They are fitted as those of /v1/translations are.",
        ),
    ]
    model: FittingModelName = None
    input_fidelity: _Ignored = None


class GeneratedImage(Struct, omit_defaults=True):
    """`revised_prompt` is the class that the prompt was understood as, or the text. seed: null where it decides nothing of an edit."""

    seed: int | None
    b64_json: bytes | None = None
    url: str | None = None
    revised_prompt: str | None = None


class TokenDetails(Struct, frozen=True):
    text_tokens: int = 0
    image_tokens: int = 0


class Usage(Struct, frozen=True):
    """What OpenAI counts. Nothing here is made of tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: TokenDetails = TokenDetails()
    output_tokens_details: TokenDetails = TokenDetails()


class Completed(Struct):
    """The event of a stream that has an image; seed, revised_prompt, model and version are ours."""

    b64_json: bytes
    created_at: int
    size: str
    output_format: str
    seed: int | None
    revised_prompt: str | None
    model: str
    version: str
    usage: Usage = Usage()
    background: str = "opaque"
    quality: str = "auto"
    type: str = "image_generation.completed"


class Generations(Struct):
    """OpenAI's reply, with model and version added."""

    created: int
    data: list[GeneratedImage]
    size: str
    output_format: str
    model: str
    version: str
    usage: Usage = Usage()
    background: str = "opaque"
    quality: str = "auto"


class OpenAIError(Struct):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrorReply(Struct):
    """OpenAI's shape."""

    error: OpenAIError


# Where OpenAI has a code of its own, or another status.
_RENAMED: dict[type[BaseException], tuple[int, str]] = {
    InvalidField: (400, "invalid_value"),
    UnknownModel: (404, "model_not_found"),
    QueueFull: (429, "rate_limit_exceeded"),
    QuotaExceeded: (429, "rate_limit_exceeded"),
}


def error_reply(error: BaseException, who: Mapping[str, str] = NOBODY) -> Reply:
    """The reply for any error in OpenAI's shape: with its codes where it has one, with ours where not."""
    problem, headers = problem_of(known(error, who))
    status, code = _RENAMED.get(type(error), (problem.status, problem.code))
    kind = "invalid_request_error" if isinstance(error, RequestError) else "server_error"
    if code == "rate_limit_exceeded":
        kind = "rate_limit_error"
    field = "model" if isinstance(error, UnknownModel) else problem.field
    told = OpenAIError(problem.detail, kind, None if field == "body" else field, code)
    return Reply(status, JSON, msgspec.json.encode(OpenAIErrorReply(told)), headers)


ERRORS = ErrorShape(error_reply, {JSON: OpenAIErrorReply}, renamed=_RENAMED)
