"""ModelInferRequest and ModelInferResponse <-> what /v2 makes of its bodies."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.drawing.draw import Draw
from service.errors import InvalidField
from service.web.grpc.messages import InferResponse
from service.web.kserve import models, tensors
from service.web.kserve.messages import InferRequest

# By datatype: the field of a tensor's own contents, and how its numbers lie in raw ones.
_CONTENTS = {"INT64": ("int64_contents", "<i8"), "FP32": ("fp32_contents", "<f4")}


def read(request: Any) -> tuple[InferRequest, memoryview]:
    """What a request asks for, and the bytes of its tensors. Raises InvalidField."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidField(
            "raw_input_contents", f"There are {len(raw)} raw contents for {len(request.inputs)} inputs."
        )
    contents = raw or [_content(one) for one in request.inputs]
    asked = {
        "model_name": request.model_name or None,
        "model_version": request.model_version or None,
        "id": request.id or None,
        "parameters": _parameters(request.parameters),
        "inputs": [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": list(one.shape),
                "parameters": _parameters(one.parameters) | {"binary_data_size": len(content)},
            }
            for one, content in zip(request.inputs, contents, strict=True)
        ],
        "outputs": [{"name": one.name, "parameters": _parameters(one.parameters)} for one in request.outputs],
    }
    try:
        return msgspec.convert(asked, InferRequest), memoryview(b"".join(contents))
    except msgspec.ValidationError as error:
        raise tensors.invalid(error) from None


def write(id: str | None, wanted: Iterable[str], draw: Draw, outputs: dict[str, NDArray[Any]]) -> Any:
    """outputs: uint8 or float32 [N, ...], by name. wanted: those that are sent, in their order."""
    return InferResponse(
        model_name=draw.model.name,
        model_version=models.version(draw.model),
        id=id or "",
        outputs=[
            {"name": name, "datatype": tensors.datatype(outputs[name]), "shape": list(outputs[name].shape)}
            for name in wanted
        ],
        raw_output_contents=[outputs[name].tobytes() for name in wanted],
    )


def _content(one: Any) -> bytes:
    """The numbers of a tensor that has them in fields of its own; none where the datatype is not ours."""
    if one.datatype == "BYTES":
        return b"".join(len(text).to_bytes(4, "little") + text for text in one.contents.bytes_contents)
    field, dtype = _CONTENTS.get(one.datatype, ("", ""))
    return np.array(getattr(one.contents, field), dtype).tobytes() if field else b""


def _parameters(found: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in found.items()}
