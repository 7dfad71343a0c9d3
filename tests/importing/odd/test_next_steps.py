"""An error names the step that leads on, and a file that was understood is imported without a word of ONNX Runtime's."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T

from tests.importing import foreign
from tests.importing.foreign import model, save, upsampling, upsampling_weights, weights
from tests.importing.odd.test_faults import refused
from tests.importing.test_pictures import run


def one_step(axes: list) -> onnx.ModelProto:
    """As a distilled diffusion model: noise and a timestep, whole numbers of these axes."""
    nodes = [
        ("real", "", ("Cast", ["timestep"], {"to": T.FLOAT})),
        ("column", "", ("Reshape", ["real", "as_column"], {})),
        ("part", "", ("Div", ["column", "thousand"], {})),
        ("convolved", "", ("Conv", ["sample", "kernel"], {"pads": [1, 1, 1, 1]})),
        ("scaled", "", ("Mul", ["convolved", "part"], {})),
        ("out_sample", "", ("Tanh", ["scaled"], {})),
    ]
    tensors = {
        "kernel": weights(3, 3, 3, 3),
        "as_column": np.array([-1, 1, 1, 1]),
        "thousand": np.array(1000, np.float32),
    }
    inputs = {"sample": (T.FLOAT, ["N", 3, 16, 16]), "timestep": (T.INT64, axes)}
    return model(inputs, nodes, ("out_sample", T.FLOAT, ["N", 3, 16, 16]), tensors)


@pytest.mark.parametrize("axes", [["N"], []], ids=["one an image", "one for all"])
def test_a_timestep_is_no_class_unless_that_is_said(tmp_path, axes):
    path = save(one_step(axes), tmp_path / "theirs.onnx")
    assert "--constant timestep=999, if it" in refused(path)
    done = run(path, "--out", tmp_path / "mine", "--constant", "timestep=999")
    assert done.exit_code == 0, done.output


def test_a_z_that_is_split_is_asked_for_in_one_go(tmp_path):
    nodes = [
        ("first", "", ("MatMul", ["z0", "w_first"], {})),
        ("second", "", ("MatMul", ["z1", "w_second"], {})),
        ("both", "", ("Add", ["first", "second"], {})),
        ("maps", "", ("Reshape", ["both", "shape"], {})),
        *upsampling("maps", 3),
    ]
    tensors = {"w_first": weights(8, 128), "w_second": weights(4, 128), "shape": np.array([-1, 8, 4, 4])}
    one = model(
        {"z0": (T.FLOAT, ["N", 8]), "z1": (T.FLOAT, ["N", 4])},
        nodes,
        ("image", T.FLOAT, ["N", 3, 16, 16]),
        tensors | upsampling_weights(3),
    )
    path = save(one, tmp_path / "theirs.onnx")
    assert "--z z0; and --drawn z1, if noise goes there, too" in refused(path)
    done = run(path, "--out", tmp_path / "mine", "--z", "z0", "--drawn", "z1")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("begin", "step"),
    [
        (b"PK\x03\x04\x00\x00", "--torch package.module:factory --weights"),
        (b"\x80\x02}q\x00.", "--torch package.module:factory --weights"),
        (b'\x10\x00\x00\x00\x00\x00\x00\x00{"w": {}}', "--torch package.module:factory --weights"),
        (b"\x89HDF\r\n\x1a\n\x00", "python -m tf2onnx.convert --keras"),
        (b"\x1c\x00\x00\x00TFL3\x00", "python -m tf2onnx.convert --keras"),
        (b"hello", "Give a .onnx file."),
    ],
    ids=["torch", "older torch", "safetensors", "keras", "tflite", "text"],
)
def test_what_is_called_onnx_and_is_none_is_told_by_how_it_begins(tmp_path, begin, step):
    path = tmp_path / "generator.onnx"
    path.write_bytes(begin)
    assert step in refused(path)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_batch_that_stays_fixed_is_found_out_in_silence(tmp_path, capfd, batch):
    done = run(save(foreign.modulated(batch), tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert "every pass has" in done.output
    assert capfd.readouterr() == ("", "")
