"""Weights in other files than the graph: read from there, and put there where there are many."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from ganserve.importing import folder
from service.errors import ContractError
from service.generator import loading
from service.generator.contract import files_beside
from service.settings import Settings
from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.test_pictures import SEEDS, assert_same, levels, original, run, z


@pytest.fixture
def theirs(tmp_path):
    """A DCGAN whose weights, also the small ones, lie beside it; opset 9, which is converted with them away."""
    path = tmp_path / "theirs" / "theirs.onnx"
    path.parent.mkdir()
    model = foreign.dcgan(opset=9)
    onnx.save(model, path, save_as_external_data=True, location="theirs.data", size_threshold=0)
    assert (path.parent / "theirs.data").stat().st_size > 10_000
    return path


def want() -> np.ndarray:
    return levels(original(foreign.dcgan(), input=z(100).reshape(-1, 100, 1, 1)))


def drawn(path: Any, engine: str = "onnxruntime") -> np.ndarray:
    """As the service draws it, once it has compared the golden samples."""
    loaded = loading.load(loading.read(path), Settings(engine=engine, threads=1))
    assert loaded.golden is not None
    return loaded.engine.wide(loaded.contract.rows(SEEDS), None)


def test_few_weights_go_into_the_file(theirs, tmp_path):
    result = run(theirs, "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert "MiB lay beside the file" in result.output
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "generator.onnx",
        "README.md",
        "samples.png",
    }
    assert_same(drawn(tmp_path / "mine" / "generator.onnx"), want())


@pytest.mark.parametrize("outside", [True, False])
def test_many_weights_lie_beside_the_file_wherever_they_lay(theirs, tmp_path, monkeypatch, outside):
    monkeypatch.setattr(folder, "MOST_INSIDE_MIB", 0.01)
    source = theirs if outside else save(foreign.dcgan(opset=9), tmp_path / "whole.onnx")
    result = run(source, "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    file, beside = tmp_path / "mine" / "generator.onnx", tmp_path / "mine" / "generator.onnx.data"
    assert "generator.onnx.data" in result.output
    assert files_beside(file.read_bytes()) == [beside.name]
    # All that does not decide shapes.
    assert beside.stat().st_size == 4 * (100 * 8 * 4 * 4 + 8 * 8 * 4 * 4)
    assert loading.read(file).verified
    for engine in ("onnxruntime", "openvino"):
        assert_same(drawn(file, engine), want())
    content = bytearray(beside.read_bytes())
    content[1000] ^= 1
    beside.write_bytes(content)
    with pytest.raises(ContractError, match="not what the file names"):
        drawn(file)
    monkeypatch.undo()
    assert run(source, "--out", tmp_path / "mine").exit_code == 0
    assert not beside.exists()  # of the model that was there before


def test_no_message_that_is_read_or_run_holds_the_weights(theirs, tmp_path, monkeypatch):
    """So none can pass 2 GiB, where protobuf ends."""
    monkeypatch.setattr(folder, "MOST_INSIDE_MIB", 0.01)
    sizes: list[int] = []
    read, session = onnx.load_model_from_string, onnxruntime.InferenceSession

    def noting(made: Any) -> Any:
        return lambda content, *rest, **named: sizes.append(len(content)) or made(content, *rest, **named)

    monkeypatch.setattr(onnx, "load_model_from_string", noting(read))
    monkeypatch.setattr(onnxruntime, "InferenceSession", noting(session))
    result = run(theirs, "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert len(sizes) >= 5
    assert max(sizes) < 20_000 < (tmp_path / "mine" / "generator.onnx.data").stat().st_size


def test_nan_beside_the_file_is_said_at_once(theirs, tmp_path):
    data = theirs.with_name("theirs.data")
    content = np.frombuffer(data.read_bytes(), np.float32).copy()
    content[5] = np.nan
    data.write_bytes(content.tobytes())
    result = run("--check", theirs)
    assert result.exit_code == 1
    assert "hold NaN" in result.output


def test_weights_outside_the_folder_are_not_read(tmp_path):
    model = foreign.dcgan()
    (tmp_path / "secret").write_bytes(numpy_helper.to_array(model.graph.initializer[0]).tobytes())
    (tmp_path / "theirs").mkdir()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    result = run("--check", save(model, tmp_path / "theirs" / "theirs.onnx"))
    assert result.exit_code == 1
    assert "The weights can't be read" in result.output
    # Nor does a name that stands for weights taken out of the file itself make them appear.
    tensor.external_data[0].value = "ganserve: taken out"
    result = run("--check", save(model, tmp_path / "theirs" / "theirs.onnx"))
    assert result.exit_code == 1
    assert "is not there" in result.output
