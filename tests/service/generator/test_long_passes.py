"""A generator whose passes are long is loaded without passes that show nothing new."""

from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny
from tests.service.loaded import loaded

TINY = Tiny(classes=None)


def test_long_passes_are_tried_once_and_timed_by_two_of_them(tmp_path):
    passes: list[int] = []
    engine = FakeEngine(TINY.contract(), pass_seconds=0.06, on_pass=passes.append)
    with loaded(tmp_path, {"a": TINY.file()}, engine, engine="fake") as models:
        found = models["a"].loaded
    assert found.max_batch == 8
    assert 0.06 <= found.pass_seconds < 0.2
    warmed, timed, alone, batches, truncated = [1, 1], [8, 8], [1] * 9, [1, 2, 3, 5, 8], [1]
    assert passes == warmed + timed + alone + batches + truncated
