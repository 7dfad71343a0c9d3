"""An ONNX file taken apart: the graph as a message of its own, and the weights where they are in the file.

protobuf copies every weight and holds the interpreter's lock meanwhile: of a file of 135 MB for 0.2 s at a time, in which the
worker answers nobody, and none of 2 GiB at all. Here only the heads of the messages are read: ModelProto.graph,
GraphProto.initializer, TensorProto.raw_data (onnx.proto; protobuf.dev/programming-guides/encoding).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper

_GRAPH, _INITIALIZER, _RAW_DATA, _METADATA = 7, 5, 9, 14
_MOST_HEAD = 20
"""Bytes before the content of a field."""
_LEAST_BYTES = 4096
"""Of what is taken out; less is read with the graph."""
_IN_FILE = "ganserve: taken out"
# Whose bytes are NumPy's own.
_PLAIN = {
    *(onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16),
    *(onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.INT8, onnx.TensorProto.UINT8),
}

Chunk = bytes | memoryview
Change = Callable[[onnx.TensorProto, memoryview | None], list[Chunk] | None]
"""An initializer without its raw data, and that -> what stands in its place; None: it stays."""


class Apart(NamedTuple):
    """graph: the file without the weights that `weights` has, by the name of the initializer; `was_taken` knows those.

    weights: of the type and shape that the initializer says, and not to be written to.
    """

    graph: bytes
    weights: dict[str, NDArray]

    def model(self) -> onnx.ModelProto:
        """Raises what protobuf raises on what is no ONNX file."""
        return onnx.load_model_from_string(self.graph)


def taken_apart(file: bytes) -> Apart:
    """What is no ONNX file, or has its weights in another form, is left as it is."""
    weights: dict[str, NDArray] = {}

    def take(tensor: onnx.TensorProto, raw: memoryview | None) -> list[Chunk] | None:
        if tensor.external_data or tensor.data_location or not take_out(tensor, raw, weights):
            return None
        return [tensor.SerializeToString()]

    try:
        return Apart(rewritten(file, take), weights)
    except (DecodeError, IndexError, ValueError, OverflowError, KeyError, TypeError, RuntimeError):
        return Apart(file, {})


def take_out(tensor: onnx.TensorProto, raw: memoryview | None, weights: dict[str, NDArray]) -> bool:
    """Puts an initializer's raw data among `weights`, and marks it so; whether it did: not what is small, or no plain array."""
    if raw is None or len(raw) < _LEAST_BYTES or tensor.data_type not in _PLAIN or tensor.name in weights:
        return False
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if len(raw) != dtype.itemsize * int(np.prod(tensor.dims)):
        return False
    weights[tensor.name] = np.frombuffer(raw, dtype.newbyteorder("<")).reshape(tensor.dims)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=_IN_FILE)
    return True


def put_together(graph: bytes, weights: Mapping[str, NDArray]) -> bytes:
    """The file that was taken apart into these."""

    def put(tensor: onnx.TensorProto, raw: memoryview | None) -> list[Chunk] | None:
        if not was_taken(tensor):
            return None
        return with_data(tensor, weights[tensor.name].reshape(-1).view(np.uint8).data)

    return rewritten(graph, put)


def was_taken(tensor: onnx.TensorProto) -> bool:
    """Whether its weights were taken out here, and are no external data of whoever wrote the file."""
    return any(entry.key == "location" and entry.value == _IN_FILE for entry in tensor.external_data)


def with_data(tensor: onnx.TensorProto, raw: memoryview) -> list[Chunk]:
    """The tensor, which had its data elsewhere, with it inside."""
    tensor.ClearField("data_location")
    tensor.ClearField("external_data")
    return [tensor.SerializeToString(), _head(_RAW_DATA, len(raw)), raw]


_MOST_FIELDS = 10_000


def metadata_alone(file: BinaryIO) -> onnx.ModelProto:
    """The model without its graph, which is not read. Raises what protobuf raises, ValueError and IndexError on what is no ONNX file."""
    kept, begin, fields = [], 0, 0
    while head := memoryview(file.read(_MOST_HEAD)):
        tag, place = _varint(head, 0)
        value, after = _varint(head, place)
        fields += 1
        # Gigabytes of zeros, or of any two bytes, are a billion fields.
        if tag & 7 not in (0, 2) or tag >> 3 == 0 or fields > _MOST_FIELDS:
            raise ValueError("no ONNX file")
        end = begin + after + (value if tag & 7 == 2 else 0)
        file.seek(begin)
        if tag >> 3 == _METADATA:
            kept.append(file.read(end - begin))
        begin = file.seek(end)
    return onnx.ModelProto.FromString(b"".join(kept))


def rewritten(file: bytes, change: Change) -> bytes:
    """The file with its initializers as `change` has them; nothing is copied twice.

    Raises ValueError or IndexError where the bytes are no ONNX file.
    """
    view, whole = memoryview(file), []
    for field in _fields(view, 0, len(view)):
        if field.number == _GRAPH and field.is_message:
            parts = list(_graph(view, field, change))
            whole += [_head(_GRAPH, sum(map(len, parts))), *parts]
        else:
            whole.append(view[field.begin : field.end])
    return b"".join(whole)


class _Field(NamedTuple):
    """number, and where it begins, where its content does, and where that ends."""

    number: int
    is_message: bool
    begin: int
    content: int
    end: int


def _graph(file: memoryview, graph: _Field, change: Change) -> Iterator[Chunk]:
    for field in _fields(file, graph.content, graph.end):
        changed = None
        if field.number == _INITIALIZER and field.is_message:
            changed = _initializer(file, field, change)
        if changed is None:
            yield file[field.begin : field.end]
        else:
            yield _head(_INITIALIZER, sum(map(len, changed)))
            yield from changed


def _initializer(file: memoryview, initializer: _Field, change: Change) -> list[Chunk] | None:
    fields = list(_fields(file, initializer.content, initializer.end))
    raw = [field for field in fields if field.number == _RAW_DATA and field.is_message]
    if len(raw) > 1:
        return None
    rest = b"".join(file[field.begin : field.end] for field in fields if field not in raw)
    data = file[raw[0].content : raw[0].end] if raw else None
    return change(onnx.TensorProto.FromString(rest), data)


def _fields(file: memoryview, place: int, end: int) -> Iterator[_Field]:
    """Raises ValueError where the bytes are no message."""
    while place < end:
        begin = place
        tag, place = _varint(file, place)
        kind, content = tag & 7, place
        if kind == 0:
            _, place = _varint(file, place)
        elif kind == 1:
            place += 8
        elif kind == 2:
            size, content = _varint(file, place)
            place = content + size
        elif kind == 5:
            place += 4
        else:
            raise ValueError("no protobuf message")
        if place > end:
            raise ValueError("no protobuf message")
        yield _Field(tag >> 3, kind == 2, begin, content, place)


def _varint(file: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = file[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise ValueError("no protobuf message")


def _head(number: int, size: int) -> bytes:
    head = bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
