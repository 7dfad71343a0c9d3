"""What travels as JSON in KServe V2 inferences; its bodies may go on in binary (tensors.py)."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from service.drawing.fields import Truncation


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
    name: Annotated[
        str,
        Meta(
            description="`z`, `seed`, `label`, or a scalar of the model; `image` of one that is given a picture."
        ),
    ]
    shape: Annotated[
        list[Annotated[int, Meta(ge=0)]],
        Meta(description="[n, z_dim] for z, [n, C, H, W] for image, [n] or [n, 1] for the others."),
    ]
    datatype: Annotated[
        str,
        Meta(
            description="`INT64` for seed and label, `UINT8` for image, `BYTES` for text, `FP32` for z and scalars."
        ),
    ]
    parameters: Annotated[InputParameters | None, Meta(description="Of the tensor.")] = None
    # A plain default has no JSON Schema.
    data: Annotated[
        Raw,
        Meta(
            description="The numbers, row by row, or as a list of rows; of `text` a list of texts. Absent where binary_data_size is given."
        ),
    ] = msgspec.field(default_factory=lambda: Raw(b"null"))


class InferOutput(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="`image`, or another of the model's outputs.")]
    parameters: Annotated[OutputParameters | None, Meta(description="Of the tensor.")] = None


class InferRequest(Struct, forbid_unknown_fields=True):
    """The JSON object of an inference request; some clients repeat in it the model that the path names."""

    inputs: Annotated[
        list[InferInput],
        Meta(
            description="`z` FP32 [n, z_dim] or `seed` INT64 [n], and `label` INT64 [n] where the model has classes, and FP32 [n] of each scalar that is not to be its default. n is 1 to {settings.max_images_per_request}. Without label, image i has class seed[i] mod K, or i mod K for z. A model that is given a picture takes `image` UINT8 [n, C, H, W], of its own size, in the place of z, and `seed` beside it where it draws something."
        ),
    ]
    id: Annotated[str | None, Meta(description="Returned in the reply.")] = None
    parameters: Annotated[InferParameters | None, Meta(description="Of the request.")] = None
    outputs: Annotated[
        list[InferOutput] | None,
        Meta(
            description="The outputs wanted: `image`, UINT8 [n, C, H, W] (NCHW), which is also what is sent if none is named, and others that the model's metadata lists, FP32."
        ),
    ] = None
    model_name: Annotated[str | None, Meta(description="If it is given, the model of the path.")] = None
    model_version: Annotated[str | None, Meta(description="If it is given, that model's version.")] = None


class ResponseOutput(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    data: Annotated[
        list[float] | None,
        Meta(description="Of an image whole numbers of 0 to 255. Absent where it comes as bytes."),
    ] = None
    parameters: dict[str, int] | None = None


class InferResponse(Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | None = None
