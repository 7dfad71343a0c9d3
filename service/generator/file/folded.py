"""Weights in files beside the graph, held to their hashes -> one piece, as if they had been inside; and the other way.

protobuf reads no message of 2 GiB; what is served is taken apart (apart.py) before it reads anything, so that is no limit.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.errors import ContractError
from service.generator.file.apart import Chunk, rewritten, was_taken, with_data


class Weights(Struct, frozen=True):
    """A file beside the graph. sha256: 64 hex digits, in lower case."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def folded(file: bytes, weights: Sequence[Weights], folder: Path) -> bytes:
    """`file` with all external data inside. Raises ContractError: not there, of another hash, or not as the graph says."""
    held: dict[str, memoryview] = {}
    for one in weights:
        try:
            content = (folder / one.file).read_bytes()
        except OSError as error:
            raise ContractError(f"weights beside the file: {one.file}: {error.strerror}") from error
        if (digest := hashlib.sha256(content).hexdigest()) != one.sha256:
            raise ContractError(
                f"{one.file} is not what the file names: its SHA-256 is {digest}, not {one.sha256}"
            )
        held[one.file] = memoryview(content)

    def fold(tensor: onnx.TensorProto, raw: memoryview | None) -> list[Chunk] | None:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            return None
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if (data := held.get(entries.get("location", ""))) is None:
            raise ContractError(f"weights '{tensor.name}' lie in a file that the contract does not name")
        begin = int(entries.get("offset", 0))
        part = data[begin : begin + int(entries.get("length", len(data) - begin))]
        if len(part) < int(entries.get("length", 0)):
            raise ContractError(f"weights '{tensor.name}' end beyond {entries['location']}")
        return with_data(tensor, part)

    try:
        return rewritten(file, fold)
    except (ValueError, IndexError) as error:
        raise ContractError(f"not an ONNX file: {error}") from error


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
