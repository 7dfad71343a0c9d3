"""Inputs of KServe's protocol, in JSON and in binary, and what the service reads of them."""

import json
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidField
from service.web.kserve.tensors import Inputs, read_inputs, read_request
from tests.generators import Tiny

LIMIT = 64
CONTRACT = Tiny(golden_samples=0).contract()
BARE = Tiny(golden_samples=0, classes=None).contract()
ROW = [0.5, -0.5, 0, 1, 2, -3, 4.25, 1e-3]


def tensor(name: str, data: Any = None, shape: Any = None, **fields: Any) -> dict[str, Any]:
    """An input in JSON."""
    if shape is None:
        shape = [len(data), *([8] if name == "z" else [])]
    datatype = "FP32" if name == "z" else "INT64"
    given = {"name": name, "shape": shape, "datatype": datatype, "data": data} | fields
    return {field: value for field, value in given.items() if value is not None}


def binary(name: str, values: np.ndarray, size: int | None = None) -> dict[str, Any]:
    """The same in binary: what the JSON object says of it."""
    size = values.nbytes if size is None else size
    return tensor(name, shape=list(values.shape), parameters={"binary_data_size": size})


def read(*inputs: dict[str, Any], after: bytes = b"", contract: Any = CONTRACT, **fields: Any) -> Inputs:
    head = json.dumps({"inputs": inputs} | fields).encode()
    asked, rest = read_request(head + after, str(len(head)) if after else None)
    return read_inputs(asked, rest, contract, LIMIT)


def refusal(*inputs: dict[str, Any], **options: Any) -> tuple[str, str]:
    with pytest.raises(InvalidField) as refused:
        read(*inputs, **options)
    assert len(str(refused.value)) < 1000
    return refused.value.field, str(refused.value)
