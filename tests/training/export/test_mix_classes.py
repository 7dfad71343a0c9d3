"""`export --mix-classes`: the same pictures, and a way between classes."""

import numpy as np

from service.generator import golden
from service.generator.contract import parse
from tests.training.export.test_export import export, place
from training.evaluation.generated import images_of, open_model, open_run

__all__ = ["place"]


def test_an_exported_file_that_mixes_classes_draws_the_network_s_pictures_and_what_lies_between(place):
    result = export(place, "--mix-classes", name="mixing")
    assert result.exit_code == 0, result.output
    path = place / "models" / "mixing"
    assert parse((path / "generator.onnx").read_bytes()).mixes_classes
    exported, network = (open_model(path, "onnxruntime", "fp32", threads=1), open_run(place / "run"))
    want, _ = images_of(network, 20, lambda done: None)
    got, _ = images_of(exported, 20, lambda done: None)
    assert golden.difference(np.asarray(got), np.asarray(want)).excess("fp32") is None
