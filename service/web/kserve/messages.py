"""What travels as JSON in KServe V2 inferences; its bodies may go on in binary (tensors.py)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from service.drawing.fields import Truncation
from service.errors import InvalidField, RequestError
from service.web.http.asgi import Reply
from service.web.http.problems import known, problem_of
from service.web.http.route import JSON, NOBODY, ErrorShape


class _CodecParameters(Struct, forbid_unknown_fields=True, kw_only=True):
    """What MLServer's codecs say of a tensor or a request: how MLServer would decode it. Here datatypes say it."""

    content_type: Annotated[
        str | None, Meta(description="Of MLServer's codecs; taken and without effect.")
    ] = None
    headers: Annotated[
        dict[str, str] | None, Meta(description="Of MLServer's codecs; taken and without effect.")
    ] = None


class InferParameters(_CodecParameters, forbid_unknown_fields=True):
    """Of a request. `timeout` is in microseconds, and 0 is the server's own, as in Triton.

    The last five are what Triton's clients may send to any model, and have no effect here; nor has what MLServer's send.
    """

    truncation: Truncation = 1.0
    timeout: Annotated[
        int,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="Microseconds until 504, as in Triton; 0, or more than the server's {settings.timeout_seconds} seconds: the server's.",
        ),
    ] = 0
    binary_data_output: Annotated[
        bool,
        Meta(
            description="Outputs come as bytes after the JSON object, unless their own binary_data says otherwise."
        ),
    ] = False
    priority: Annotated[int, Meta(description="Taken and without effect: all requests are equal.")] = 0
    sequence_id: Annotated[int | str, Meta(description="Taken and without effect.")] = 0
    sequence_start: Annotated[bool, Meta(description="Taken and without effect.")] = False
    sequence_end: Annotated[bool, Meta(description="Taken and without effect.")] = False
    triton_enable_empty_final_response: Annotated[bool, Meta(description="Taken and without effect.")] = False


class InputParameters(_CodecParameters, forbid_unknown_fields=True):
    binary_data_size: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="The tensor's bytes are in the body after the JSON object, so many of them: little endian, row by row, in the order of the inputs."
        ),
    ] = None


class OutputParameters(_CodecParameters, forbid_unknown_fields=True):
    binary_data: Annotated[
        bool | None, Meta(description="Whether it comes as bytes after the JSON object.")
    ] = None


class InferInput(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="`z`, `seed` or `label`.")]
    shape: Annotated[
        list[Annotated[int, Meta(ge=0)]], Meta(description="[n, z_dim] for z, [n] or [n, 1] for the others.")
    ]
    datatype: Annotated[str, Meta(description="`FP32` for z, `INT64` for the others.")]
    parameters: Annotated[InputParameters | None, Meta(description="Of the tensor.")] = None
    # A plain default has no JSON Schema.
    data: Annotated[
        Raw,
        Meta(
            description="The numbers, row by row, or as a list of rows. Absent where binary_data_size is given."
        ),
    ] = msgspec.field(default_factory=lambda: Raw(b"null"))


class InferOutput(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="`image`.")]
    parameters: Annotated[OutputParameters | None, Meta(description="Of the tensor.")] = None


class InferRequest(Struct, forbid_unknown_fields=True):
    """The JSON object of an inference request; some clients repeat in it the model that the path names."""

    inputs: Annotated[
        list[InferInput],
        Meta(
            description="`z` FP32 [n, z_dim] or `seed` INT64 [n], and `label` INT64 [n] where the model has classes. n is 1 to {settings.max_images_per_request}. Without label, image i has class seed[i] mod K, or i mod K for z."
        ),
    ]
    id: Annotated[str | None, Meta(description="Returned in the reply.")] = None
    parameters: Annotated[InferParameters | None, Meta(description="Of the request.")] = None
    outputs: Annotated[
        list[InferOutput] | None,
        Meta(
            description="The outputs wanted: there is one, `image`, UINT8 [n, C, H, W] (NCHW), which is also what is sent if none is named."
        ),
    ] = None
    model_name: Annotated[str | None, Meta(description="If it is given, the model of the path.")] = None
    model_version: Annotated[str | None, Meta(description="If it is given, that model's version.")] = None


class ResponseOutput(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    data: list[Annotated[int, Meta(ge=0, le=255)]] | None = None
    parameters: dict[str, int] | None = None


class InferResponse(Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | None = None


class InferError(Struct):
    error: str


def error_reply(error: BaseException, who: Mapping[str, str] = NOBODY) -> Reply:
    """The reply for any error, as `{"error": ...}`; what is wrong with a tensor is 400 here."""
    problem, headers = problem_of(known(error, who))
    status = 400 if isinstance(error, InvalidField) else problem.status
    body = msgspec.json.encode(InferError(problem.detail))
    return Reply(status, JSON, body, headers | {"ganserve-error": problem.code})


ERRORS = ErrorShape(
    error_reply,
    {JSON: InferError},
    {"ganserve-error": "The error's stable code."},
    {error: (400, error.code) for error in (RequestError, InvalidField)},
)
