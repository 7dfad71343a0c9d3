"""Dropout as exporters of every age write it: what drops nothing is served, and what may is named with what to do."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper as h
from onnx import numpy_helper

from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.test_pictures import SEEDS, run
from tests.importing.test_weights_beside import drawn


def with_dropout(opset: int, **attributes: Any) -> onnx.ModelProto:
    model = foreign.dcgan(opset=opset)
    relu = model.graph.node[1]
    dropped = h.make_node("Dropout", [relu.output[0]], ["kept"], name="drop_3", **attributes)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = "kept" if name == relu.output[0] else name
    model.graph.node.insert(2, dropped)
    return model


def switched_on(opset: int) -> onnx.ModelProto:
    model = with_dropout(opset)
    model.graph.node[2].input.extend(["", "on"])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "on"))
    return model


@pytest.mark.parametrize("opset", [7, 9, 11])
def test_dropout_of_a_time_before_its_switch_hands_on_what_it_gets(tmp_path, opset):
    for name, model in (("with", with_dropout(opset, ratio=0.5)), ("without", foreign.dcgan(opset=opset))):
        result = run(save(model, tmp_path / f"{name}.onnx"), "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    pictures = [drawn(tmp_path / name / "generator.onnx") for name in ("with", "without")]
    assert len(pictures[0]) == len(SEEDS)
    assert np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_dropout(6, ratio=0.5),
        lambda: with_dropout(12, ratio=0.5),
        lambda: with_dropout(17, ratio=0.5),
        lambda: switched_on(12),
        lambda: switched_on(17),
    ],
    ids=["6", "12 with a ratio of before", "17 with a ratio of before", "12 switched on", "17 switched on"],
)
def test_dropout_that_may_drop_is_named_with_what_to_do(tmp_path, make):
    result = run(save(make(), tmp_path / "theirs.onnx"), "--check")
    assert result.exit_code == 1, result.output
    assert "Dropout 'drop_3'" in result.output
    assert "Export again after model.eval()" in result.output
