"""A Keras-like generator, as Keras computes it: channels last, in NumPy, since TensorFlow is no part of the tests."""

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.test_pictures import SEEDS, assert_same, levels, run, served, z


def conv2d_transpose(x: NDArray, kernel: NDArray) -> NDArray:
    """Conv2DTranspose(strides=2, padding="same") of a 4x4 kernel. x: [N, H, W, I]; kernel: [4, 4, O, I]. Returns [N, 2H, 2W, O]."""
    count, height, width, _ = x.shape
    out = np.zeros((count, 2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for row, column in np.ndindex(4, 4):
        out[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += x @ kernel[row, column].T
    return out[:, 1:-1, 1:-1]


def test_what_is_served_is_what_keras_would_draw(tmp_path):
    one = foreign.keras()
    result = run(save(one, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    got, contract = served(tmp_path / "mine")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in one.graph.initializer}
    label = np.array(SEEDS) % contract.class_count
    dense = (z(16) + weights["embedding"][label]) @ weights["w0"]
    # The exporter turns channels last into channels first, and kernels with them.
    hidden = dense.reshape(-1, 8, 4, 4).transpose(0, 2, 3, 1)
    kernels = [weights[name].transpose(2, 3, 1, 0) for name in ("w1", "w2")]
    hidden = np.maximum(conv2d_transpose(hidden, kernels[0]), 0)
    pictures = 1 / (1 + np.exp(-conv2d_transpose(hidden, kernels[1])))
    assert_same(got, levels(pictures.transpose(0, 3, 1, 2), 0, 1))
