"""Tensors of the datatype BYTES, which hold texts in UTF-8."""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidField

_decoder = msgspec.json.Decoder(list[str])


def from_json(name: str, data: bytes, shape: Sequence[int]) -> NDArray[Any]:
    """Of a tensor's data as JSON. Raises InvalidField; msgspec's errors."""
    return _agreed(name, _decoder.decode(data), shape)


def from_binary(name: str, data: memoryview, shape: Sequence[int]) -> NDArray[Any]:
    """Each text after its length in bytes, 4 bytes little endian, as Triton has it. Raises InvalidField."""
    found, begin = [], 0
    try:
        while begin < len(data):
            (length,) = struct.unpack_from("<I", data, begin)
            begin += 4 + length
            if begin > len(data):
                raise InvalidField(name, f"data of '{name}' ends within a text.")
            found.append(str(data[begin - length : begin], "utf-8"))
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidField(name, f"data of '{name}': {error}.") from None
    return _agreed(name, found, shape)


def _agreed(name: str, texts: list[str], shape: Sequence[int]) -> NDArray[Any]:
    if len(texts) != np.prod(shape):
        raise InvalidField(name, f"data of '{name}' has {len(texts)} texts; its shape has {np.prod(shape)}.")
    return np.array(texts, object).reshape(shape)
