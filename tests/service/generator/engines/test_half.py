"""float16 inside, the contract outside."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

from service.generator import golden
from service.generator.contract import parse
from service.generator.engines import half
from service.generator.file.rewired import rewired

SHIPPED = sorted(Path("models").glob("*/generator.onnx"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_generator_draws_its_golden_samples_in_half_the_bytes(path):
    file = path.read_bytes()
    converted = half.convert(file)
    contract = parse(converted)
    assert contract == parse(file)
    assert len(converted) < 0.6 * len(file)
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = ort.InferenceSession(rewired(converted, contract), options, providers=["CPUExecutionProvider"])

    def forward(z, label):
        return np.asarray(session.run(None, {"z": z} if label is None else {"z": z, "label": label})[0])

    errors = golden.compare(contract, forward)
    assert errors is not None
    assert errors.excess("fp16") is None


def test_products_are_in_float16_and_levels_in_float32():
    file = Path("models/began/generator.onnx").read_bytes()
    model = onnx.shape_inference.infer_shapes(
        onnx.load_model_from_string(half.convert(file)), strict_mode=True
    )
    kinds = {one.name: one.type.tensor_type.elem_type for one in model.graph.value_info}
    by_operator = {node.op_type: kinds.get(node.output[0]) for node in model.graph.node}
    assert by_operator["ConvTranspose"] == by_operator["Gemm"] == TensorProto.FLOAT16
    assert by_operator["Round"] == by_operator["Clip"] == TensorProto.FLOAT
