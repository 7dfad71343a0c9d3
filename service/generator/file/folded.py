"""Weights in files beside the graph, held to their hashes -> one piece, as if they had been inside; and the other way.

protobuf reads no message of 2 GiB; what is served is taken apart (apart.py) before it reads anything, so that is no limit.
"""

import hashlib
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import onnx
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.errors import COPY, WRITE, ContractError
from service.generator.file.apart import Chunk, rewritten, taken_apart, was_taken, with_data

_BESIDE = "copy the whole folder again: the file and its weights, as files and not as links"


class Weights(Struct, frozen=True):
    """A file beside the graph. sha256: 64 hex digits, in lower case."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def folded(file: bytes, weights: Sequence[Weights], folder: Path) -> bytes:
    """`file` with all external data inside. Raises ContractError: not there, of another hash, or not as the graph says."""
    places = _places(file)
    held: dict[str, memoryview] = {}
    for one in weights:
        path = beside(folder, one.file)
        _check_places([place for place in places if place.file == one.file], path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ContractError(f"weights beside the file: {one.file}: {error.strerror}", _BESIDE) from error
        if (digest := hashlib.sha256(content).hexdigest()) != one.sha256:
            raise ContractError(
                f"{one.file} is not what the file names: its SHA-256 is {digest}, not {one.sha256}", _BESIDE
            )
        held[one.file] = memoryview(content)

    def fold(tensor: onnx.TensorProto, raw: memoryview | None) -> list[Chunk] | None:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            return None
        place = _place(tensor)
        if (data := held.get(place.file)) is None:
            raise ContractError(
                f"weights '{tensor.name}' lie in a file that the contract does not name", WRITE
            )
        return with_data(tensor, data[place.begin : place.end])

    try:
        return rewritten(file, fold)
    except (ValueError, IndexError) as error:
        raise ContractError(f"not an ONNX file: {error}", COPY) from error


def beside(folder: Path, name: str) -> Path:
    """Where that file of weights lies. Raises ContractError: it is none, or a link that leads out of the folder."""
    path = folder / name
    try:
        # A pipe would be waited for, and a device be read, without end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ContractError(f"weights beside the file: {name} is no file", _BESIDE)
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except OSError as error:
        raise ContractError(f"weights beside the file: {name}: {error.strerror}", _BESIDE) from error
    if not is_inside:
        raise ContractError(
            f"weights beside the file: {name} is a link that leads out of its folder", _BESIDE
        )
    return path


class _Place(NamedTuple):
    """Where the data of a tensor begin in a file, and where they end, in bytes."""

    tensor: str
    file: str
    begin: int
    end: int | None


def _place(tensor: onnx.TensorProto) -> _Place:
    """Raises ContractError."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    try:
        begin = int(entries.get("offset", 0))
        end = begin + int(entries["length"]) if "length" in entries else None
    except ValueError:
        begin, end = -1, None
    if begin < 0 or (end is not None and end < begin):
        raise ContractError(
            f"weights '{tensor.name[:64]}' have no place in their file: offset and length must be numbers from 0",
            WRITE,
        )
    return _Place(tensor.name[:64], entries.get("location", ""), begin, end)


def _places(file: bytes) -> list[_Place]:
    """Raises ContractError."""
    apart = taken_apart(file)
    return [
        _place(tensor)
        for tensor in apart.model().graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL and tensor.name not in apart.weights
    ]


def _check_places(places: Sequence[_Place], path: Path) -> None:
    """Before a byte is read, so that no more is than the graph takes. Raises ContractError."""
    size = path.stat().st_size
    taken = last = 0
    for place in places:
        end = size if place.end is None else place.end
        if not place.begin <= end <= size:
            raise ContractError(f"weights '{place.tensor}' end beyond {path.name}", _BESIDE)
        taken, last = taken + end - place.begin, max(last, end)
    if taken > size:
        what = f"weights overlap in {path.name}: they take {taken:,} bytes of its {size:,}"
        raise ContractError(what, WRITE)
    if last < size:
        raise ContractError(f"{path.name} has {size:,} bytes, and the weights end after {last:,}", _BESIDE)


def laid_beside(model: onnx.ModelProto, weights: Mapping[str, NDArray], path: Path) -> Weights:
    """Writes the weights that were taken out of the model into a file, and has the model name it. Raises OSError."""
    digest, begin = hashlib.sha256(), 0
    with path.open("wb") as file:
        for tensor in filter(was_taken, model.graph.initializer):
            part = weights[tensor.name].reshape(-1).view(np.uint8).data
            tensor.ClearField("external_data")
            for key, value in (("location", path.name), ("offset", begin), ("length", len(part))):
                tensor.external_data.add(key=key, value=str(value))
            file.write(part)
            digest.update(part)
            begin += len(part)
    return Weights(path.name, digest.hexdigest())
