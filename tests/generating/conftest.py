from pathlib import Path

import pytest

from tests import generators
from tests.generators import Tiny


@pytest.fixture(scope="package")
def models(tmp_path_factory) -> Path:
    files = {
        "tiny": Tiny().file(),
        "colour": Tiny(image=(3, 16, 16), weights_seed=1).file(),
        "bare": Tiny(classes=None).file(),
    }
    return generators.folder(tmp_path_factory.mktemp("models"), files)
