import threading

import pytest

from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.kserve.asking import Stage


@pytest.fixture
def stage(tmp_path):
    gate, passes = threading.Event(), []
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate, on_pass=passes.append)
    limits = {"max_queue_images": 12, "max_images_per_request": 12, "timeout_seconds": 20}
    with loaded(tmp_path, {"tiny": tiny.file()}, engine, **limits) as models:
        engine.fail_on = 9  # after it was loaded, when every class is drawn
        passes.clear()
        yield Stage(models, gate, passes)
        gate.set()
