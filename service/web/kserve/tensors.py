"""The tensors of KServe V2 (Open Inference Protocol), in JSON or in binary, <-> NumPy. No HTTP.

A body is a JSON object, and after it the bytes of the tensors that the object says are binary: little
endian, row-major, in the order in which it names them (Triton's binary tensor data extension).
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.errors import InvalidField, NotJson
from service.generator.contract import Contract
from service.generator.file.inputs import WEIGHTS
from service.generator.file.named import chosen_by_name
from service.generator.file.outputs import IMAGE
from service.web.http.bodies import decode
from service.web.kserve import texts
from service.web.kserve.inputs import Inputs, agreed
from service.web.kserve.messages import (
    InferInput,
    InferOutput,
    InferParameters,
    InferRequest,
    InferResponse,
    InputParameters,
    OutputParameters,
    ResponseOutput,
)

_DATATYPES = {"seed": "INT64", "label": "INT64", "image": "UINT8", "text": "BYTES"}
"""Of what is no FP32."""
_DTYPES = {"INT64": "<i8", "UINT8": "u1", "FP32": "<f4"}
_Level = Annotated[int, Meta(ge=0, le=255)]
_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

_decoder = msgspec.json.Decoder(InferRequest)
_numbers = msgspec.json.Decoder(list[float])
_rows = msgspec.json.Decoder(list[list[float]])
_integers = msgspec.json.Decoder(list[_Int64])
_integer_rows = msgspec.json.Decoder(list[list[_Int64]])
_levels = msgspec.json.Decoder(list[_Level])
_planes = msgspec.json.Decoder(list[list[list[list[_Level]]]])
_STRUCTS: dict[str, type[Struct]] = {
    "": InferRequest,
    "parameters": InferParameters,
    "inputs": InferInput,
    "inputs.parameters": InputParameters,
    "outputs": InferOutput,
    "outputs.parameters": OutputParameters,
}


def read_request(body: bytes, header_length: str | None) -> tuple[InferRequest, memoryview]:
    """The JSON object of a body, and the bytes after it.

    header_length: the object's bytes as the client states them; None: it is the whole body.
    Raises NotJson; InvalidField.
    """
    length = len(body)
    if header_length is not None:
        plain = header_length.isascii() and header_length.isdigit() and len(header_length) < 12
        length = int(header_length) if plain else -1
        if not 0 < length <= len(body):
            raise InvalidField(
                "inference-header-content-length",
                f"Inference-Header-Content-Length is '{header_length[:64]}'; allowed is the length of the JSON "
                f"object, 1 to the {len(body)} bytes of the body.",
            )
    view = memoryview(body)
    try:
        return decode(view[:length], _decoder), view[length:]
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"The body must begin with an inference request, a JSON object: {error}") from None


def read_inputs(asked: InferRequest, binary: memoryview, contract: Contract, max_images: int) -> Inputs:
    """The tensors of a request. Raises InvalidField, naming the tensor and what is allowed."""
    shapes: dict[str, tuple[int | None, ...]] = {"z": (None, contract.z_dim), "seed": (None,)}
    if (source := contract.source) is not None:
        shapes = {"image": (None, source.channels, source.height, source.width)}
        if contract.uses_seed:
            shapes["seed"] = (None,)
    optional = {"label": contract.classes, "text": contract.text}
    shapes |= {name: (None,) for name, there in optional.items() if there is not None}
    if contract.mixes_classes:
        shapes[WEIGHTS] = (None, contract.class_count)
    scalars = list(chosen_by_name(contract.declared))
    shapes |= dict.fromkeys(scalars, (None,))
    tensors: dict[str, NDArray[Any]] = {}
    begin = 0
    for one in asked.inputs:
        if one.name not in shapes:
            raise InvalidField(
                "inputs",
                f"There is no input '{one.name[:64]}'; allowed are {_allowed(list(shapes))}.",
            )
        if one.name in tensors:
            raise InvalidField(one.name, f"The input '{one.name}' is given twice.")
        _check_shape(one, shapes[one.name], max_images)
        size = one.parameters.binary_data_size if one.parameters else None
        if size is None:
            tensor = _from_json(one)
        else:
            tensor = _from_binary(one, binary, begin, size)
            begin += size
        tensors[one.name] = tensor.reshape(-1) if len(shapes[one.name]) == 1 else tensor
    if begin != len(binary):
        raise InvalidField(
            "inputs",
            f"{len(binary)} bytes follow the JSON object, and the inputs' binary_data_size say {begin}.",
        )
    return agreed(tensors, contract, scalars)


def read_outputs(asked: InferRequest) -> dict[str, bool]:
    """The outputs that are wanted, and of each whether in binary; `image` alone if none is named. Raises InvalidField."""
    every = asked.parameters.binary_data_output if asked.parameters else False
    found: dict[str, bool] = {}
    for one in asked.outputs or ():
        if one.name in found:
            raise InvalidField("outputs", f"The output '{one.name[:64]}' is named twice.")
        own = one.parameters.binary_data if one.parameters else None
        found[one.name] = every if own is None else own
    return found or {IMAGE: every}


def require_outputs(wanted: Iterable[str], contract: Contract) -> None:
    """Raises InvalidField for an output that the model does not have."""
    known = [IMAGE, *(one.name for one in contract.beside)]
    for name in wanted:
        if name not in known:
            raise InvalidField(
                "outputs", f"There is no output '{name[:64]}'; allowed is {' or '.join(known)}."
            )


def write_response(
    tensors: dict[str, NDArray[Any]],
    wanted: dict[str, bool],
    model_name: str,
    model_version: str,
    id: str | None,
) -> tuple[bytes, bytes]:
    """The JSON object of a reply, and the bytes that follow it: of the outputs that are wanted in binary, in their order.

    tensors: uint8 or float32 [N, ...], by name.
    """
    outputs, content = [], []
    for name, in_binary in wanted.items():
        tensor = tensors[name]
        output = ResponseOutput(name, datatype(tensor), list(tensor.shape))
        if in_binary:
            content.append(tensor.tobytes())
            output.parameters = {"binary_data_size": len(content[-1])}
        else:
            output.data = tensor.ravel().tolist()
        outputs.append(output)
    head = msgspec.json.encode(InferResponse(model_name, model_version, outputs, id or None))
    return head, b"".join(content)


def datatype(tensor: NDArray[Any]) -> str:
    return "UINT8" if tensor.dtype == np.uint8 else "FP32"


def _check_shape(one: InferInput, shape: tuple[int | None, ...], max_images: int) -> None:
    """Raises InvalidField unless `one` has that shape (None: n, 1 to max_images) and its datatype."""
    datatype = _DATATYPES.get(one.name, "FP32")
    if one.datatype != datatype:
        raise InvalidField(
            one.name, f"The datatype of '{one.name}' is '{one.datatype[:64]}'; allowed is {datatype}."
        )
    wanted = ", ".join("n" if axis is None else str(axis) for axis in shape)
    # MLServer's clients write a column where one axis is enough.
    allowed = [list(shape[1:]), *([[1]] if len(shape) == 1 else [])]
    if not one.shape or one.shape[1:] not in allowed:
        raise InvalidField(
            one.name, f"The shape of '{one.name}' is {_shown(one.shape)}; allowed is [{wanted}]."
        )
    if not 1 <= one.shape[0] <= max_images:
        raise InvalidField(
            one.name, f"'{one.name}' asks for {one.shape[0]} images; allowed are 1 to {max_images}."
        )


def _from_binary(one: InferInput, binary: memoryview, begin: int, size: int) -> NDArray[Any]:
    if bytes(one.data) != b"null":
        raise InvalidField(one.name, f"'{one.name}' has data and binary_data_size: they exclude each other.")
    datatype, there = _DATATYPES.get(one.name, "FP32"), binary[begin : begin + size]
    dtype = np.dtype(_DTYPES.get(datatype, "u1"))
    wanted = size if datatype == "BYTES" else int(np.prod(one.shape)) * dtype.itemsize
    if size != wanted:
        raise InvalidField(
            one.name,
            f"binary_data_size of '{one.name}' is {size}; its shape {_shown(one.shape)} takes {wanted} bytes.",
        )
    if begin + size > len(binary):
        raise InvalidField(
            one.name,
            f"The data of '{one.name}' would end {begin + size} bytes after the JSON object, and {len(binary)} "
            "are there: is Inference-Header-Content-Length given, and right?",
        )
    if datatype == "BYTES":
        return texts.from_binary(one.name, there, one.shape)
    return np.frombuffer(there, dtype).reshape(one.shape)


def _from_json(one: InferInput) -> NDArray[Any]:
    text = bytes(one.data)
    if text == b"null":
        raise InvalidField(one.name, f"'{one.name}' has no data, and no binary_data_size either.")
    nested = len(one.shape) == 2 and text[1:].lstrip()[:1] == b"["
    datatype = _DATATYPES.get(one.name, "FP32")
    try:
        if datatype == "UINT8":
            return _pixels_from_json(one, text)
        if datatype == "BYTES":
            return texts.from_json(one.name, text, one.shape)
        if datatype == "FP32":
            rows = _rows.decode(text) if nested else [_numbers.decode(text)]
        else:
            rows = _integer_rows.decode(text) if nested else [decode(text, _integers)]
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise InvalidField(one.name, f"data{path.strip('`')} of '{one.name}': {message}.") from None
    except (msgspec.DecodeError, RecursionError) as error:  # numbers that no double holds
        raise InvalidField(one.name, f"data of '{one.name}': {error}.") from None
    lengths = {len(row) for row in rows}
    fits = lengths == {one.shape[1]} and len(rows) == one.shape[0] if nested else True
    count = sum(len(row) for row in rows)
    if not fits or count != np.prod(one.shape):
        raise InvalidField(
            one.name,
            f"data of '{one.name}' has {count} numbers in {len(rows)} rows, which is not its shape {_shown(one.shape)}."
            if nested
            else f"data of '{one.name}' has {count} numbers; its shape {_shown(one.shape)} has {np.prod(one.shape)}.",
        )
    with np.errstate(over="ignore"):
        return np.array(rows, _DTYPES[datatype]).reshape(one.shape)


def _pixels_from_json(one: InferInput, text: bytes) -> NDArray[np.uint8]:
    """Row by row, or as lists in lists. Raises InvalidField; msgspec's errors."""
    is_nested = text[1:].lstrip()[:1] == b"["
    pixels = _planes.decode(text) if is_nested else decode(text, _levels)
    try:
        found = np.array(pixels, np.uint8)
    except ValueError:  # rows of unequal lengths
        found = np.empty(0, np.uint8)
    if found.size != np.prod(one.shape) or (is_nested and list(found.shape) != one.shape):
        raise InvalidField(one.name, f"data of '{one.name}' does not have its shape {_shown(one.shape)}.")
    return found.reshape(one.shape)


def invalid(error: msgspec.ValidationError) -> InvalidField:
    """msgspec's `Expected `int`, got `str` - at `$.inputs[0].shape[0]`` -> the field and the rest."""
    text, _, path = str(error).partition(" - at `$")
    path = path.strip("`.")
    if unknown := re.search(r"unknown field `(.*)`", text, re.DOTALL):
        allowed = _STRUCTS[re.sub(r"\[[^]]*\]", "", path)].__struct_fields__
        what = f"There is no '{unknown[1][:64]}' in {path or 'the request'}"
        return InvalidField(unknown[1][:64], f"{what}; allowed are {', '.join(allowed)}.")
    return InvalidField(path or "body", f"{path or 'The body'}: {text}.")


def _allowed(names: list[str]) -> str:
    """`z or seed, and label, and psi`; `image, and seed`."""
    both, rest = (" or ".join(names[:2]), names[2:]) if names[0] == "z" else (names[0], names[1:])
    return both + "".join(f", and {name}" for name in rest)


def _shown(shape: list[int]) -> str:
    return str(shape if len(shape) <= 8 else [*shape[:8], "..."])
