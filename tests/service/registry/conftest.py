from pathlib import Path

import pytest

from tests.service.registry.rolling import OLD, lay


@pytest.fixture
def root(tmp_path) -> Path:
    """Of one model, `tiny`, with its old version as generator.onnx."""
    lay(tmp_path, "generator.onnx", OLD.file())
    return tmp_path
