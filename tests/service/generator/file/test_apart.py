"""Weights apart from the graph: beside the file, and while it is read."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import external_data_helper

from service.errors import ContractError
from service.generator import contract
from service.generator.file.apart import put_together, taken_apart
from service.generator.file.folded import Weights
from tests.generators import Tiny
from tests.generators.styled import Styled
from tests.service.generator.file.loaded import loaded


def outside(folder: Path, styled: Styled) -> bytes:
    """The file whose weights lie beside it, as `generator.onnx.data`."""
    model = styled.model()
    external_data_helper.convert_model_to_external_data(model, location="generator.onnx.data")
    (folder / "styled").mkdir(exist_ok=True)
    external_data_helper.write_external_data_tensors(model, str(folder / "styled"))
    digest = hashlib.sha256((folder / "styled" / "generator.onnx.data").read_bytes()).hexdigest()
    return contract.write(model, styled.contract(weights=[Weights("generator.onnx.data", digest)]))


def test_weights_beside_the_file_are_held_to_their_hash(tmp_path):
    styled = Styled()
    file = outside(tmp_path, styled)
    assert len(file) < 20_000
    assert loaded(tmp_path, file).golden is not None
    data = tmp_path / "styled" / "generator.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:-1] + b"x")
    with pytest.raises(ContractError, match="not what the file names"):
        loaded(tmp_path, file)
    data.unlink()
    with pytest.raises(ContractError, match=r"generator\.onnx\.data: No such file"):
        loaded(tmp_path, file)


def test_nan_is_found_in_weights_beside_the_file(tmp_path):
    styled = Styled()
    styled.weights[3, 5] = np.nan
    with pytest.raises(ContractError, match="NaN"):
        loaded(tmp_path, outside(tmp_path, styled))


def test_external_data_in_a_file_that_is_not_named_is_refused(tmp_path):
    model = Styled().model()
    external_data_helper.convert_model_to_external_data(model, location="../secret")
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    for weights in ([], [Weights("generator.onnx.data", "0" * 64)]):
        with pytest.raises(ContractError, match=r"which the contract does not name|external data is refused"):
            contract.write(model, Styled().contract(weights=weights))


def test_a_file_that_is_taken_apart_can_be_put_together():
    file = Styled().file()
    apart = taken_apart(file)
    assert set(apart.weights) == {"w"}
    np.testing.assert_array_equal(apart.weights["w"], Styled().weights)
    again = onnx.load_model_from_string(put_together(apart.graph, apart.weights))
    assert again == onnx.load_model_from_string(file)


@pytest.mark.parametrize(
    "file", [b"", b"\x3a\xff", b"\x3a\x05\x2a\xff\xff\xff\xff", bytes(range(256)), b"\xff" * 99]
)
def test_what_is_no_onnx_file_is_left_as_it_is(file):
    assert taken_apart(file).weights == {}
    with pytest.raises(ContractError):
        contract.parse(file)


def test_no_weight_passes_through_protobuf_when_a_file_is_loaded(tmp_path, monkeypatch):
    """There a thread keeps the interpreter's lock, and its worker answers nobody: 0.5 s at a time of a file of 136 MB."""
    file = Tiny(burn=1).file()
    assert len(file) > 4_000_000
    sizes: list[int] = []

    def noting(read: Any) -> Any:
        return lambda content, *rest, **named: sizes.append(len(content)) or read(content, *rest, **named)

    monkeypatch.setattr(onnx, "load_model_from_string", noting(onnx.load_model_from_string))
    monkeypatch.setattr(onnxruntime, "InferenceSession", _Noted(sizes))
    assert loaded(tmp_path, file).golden is not None
    assert len(sizes) >= 3
    assert max(sizes) < 100_000


class _Noted:
    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.real = sizes, onnxruntime.InferenceSession

    def __call__(self, content: bytes, *rest: Any, **named: Any) -> onnxruntime.InferenceSession:
        self.sizes.append(len(content))
        return self.real(content, *rest, **named)
