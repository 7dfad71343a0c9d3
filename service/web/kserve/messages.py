"""What travels as JSON in KServe V2 inferences; its bodies may go on in binary (tensors.py)."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct


class _CodecParameters(Struct, forbid_unknown_fields=True, kw_only=True):
    """What MLServer's codecs say of a tensor or a request: how MLServer would decode it. Here datatypes say it."""

    content_type: str | None = None
    headers: dict[str, str] | None = None


class InferParameters(_CodecParameters, forbid_unknown_fields=True):
    """Of a request. `timeout` is in microseconds, and 0 is the server's own, as in Triton.

    The last five are what Triton's clients may send to any model, and have no effect here; nor has what MLServer's send.
    """

    truncation: Annotated[float, Meta(gt=0, le=1)] = 1.0
    timeout: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    binary_data_output: bool = False
    priority: int = 0
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    triton_enable_empty_final_response: bool = False


class InputParameters(_CodecParameters, forbid_unknown_fields=True):
    binary_data_size: Annotated[int, Meta(ge=0)] | None = None


class OutputParameters(_CodecParameters, forbid_unknown_fields=True):
    binary_data: bool | None = None


class InferInput(Struct, forbid_unknown_fields=True):
    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: str
    parameters: InputParameters | None = None
    data: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))  # a plain default has no JSON Schema


class InferOutput(Struct, forbid_unknown_fields=True):
    name: str
    parameters: OutputParameters | None = None


class InferRequest(Struct, forbid_unknown_fields=True):
    """The JSON object of an inference request; some clients repeat in it the model that the path names."""

    inputs: list[InferInput]
    id: str | None = None
    parameters: InferParameters | None = None
    outputs: list[InferOutput] | None = None
    model_name: str | None = None
    model_version: str | None = None


class ResponseOutput(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    data: list[int] | None = None
    parameters: dict[str, int] | None = None


class InferResponse(Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | None = None
