"""A file is judged by what it does: every engine gives the same verdict."""

import importlib.util
import re
from typing import Any

import numpy as np
import pytest

from service.errors import ContractError
from service.generator import loading, trial
from service.generator.contract import parse
from service.generator.engines.fake import FakeEngine
from service.settings import Settings
from tests.generators import CLASSES, Tiny, folder, hostile

ENGINES = ["onnxruntime"] + ["openvino"] * bool(importlib.util.find_spec("openvino"))


def load(tmp_path, file: bytes, engine: str, **settings: Any) -> loading.Loaded:
    path = folder(tmp_path, {"strange": file}) / "strange" / loading.FILE
    return loading.load(loading.read(path), Settings(engine=engine, threads=2, **settings))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", hostile.REFUSED)
def test_a_file_that_breaks_its_word_is_refused_by_its_reason(tmp_path, kind, engine):
    make, reason = hostile.REFUSED[kind]
    with pytest.raises(Exception, match=re.escape(reason)):  # an engine may raise its own
        load(tmp_path, make(), engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("max_batch", [0, 7])
def test_a_stranger_that_keeps_the_contract_is_certified_exact(tmp_path, engine, max_batch):
    loaded = load(tmp_path, hostile.file(), engine, max_batch=max_batch)
    found = loaded.findings
    assert (found.levels, found.classes, found.truncation) == (0, hostile.CLASSES, True)
    assert {1, 2, 3, 5, loaded.max_batch} <= {*found.sizes}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_normalises_z_is_served_and_known_to_have_no_truncation(tmp_path, engine):
    assert load(tmp_path, hostile.normalised(), engine).findings.truncation is False


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_the_fake_engine_is_judged_too_and_passes(tmp_path, classes):
    assert load(tmp_path, Tiny(classes=classes).file(), "fake").findings.levels == 0


class Rounding(FakeEngine):
    """A fake of which one pixel of every image but the first of a batch is some levels off."""

    name = "onnxruntime"

    def __init__(self, levels: int, precision: str = "fp32", buckets: tuple[int, ...] = ()) -> None:
        super().__init__(Tiny(classes=None).contract())
        self.precision, self.buckets, self._levels = precision, buckets, levels

    def _forward(self, z, label):
        images = super()._forward(z, label)
        images[1:, 0, 7, 7] = np.where(images[1:, 0, 7, 7] > 99, images[1:, 0, 7, 7] - self._levels, 99)
        images[:, 0, 7, 7] = np.maximum(images[:, 0, 7, 7], 99)
        return images


def judge(engine: FakeEngine) -> trial.Findings:
    tiny = Tiny(classes=None)
    return trial.judge(tiny.file(), tiny.contract(), engine, 8)


def test_what_rounding_may_do_is_stated_and_more_is_refused():
    assert judge(Rounding(0)).levels == 0
    assert judge(Rounding(1)).levels == 1
    with pytest.raises(ContractError, match="depends on its place in the batch"):
        judge(Rounding(3))


def test_an_accelerator_that_rounds_more_says_by_how_much():
    found = judge(Rounding(3, "tf32", (1, 2, 4, 8)))
    assert found.levels == 3
    assert {1, 2, 3, 4, 5, 8} <= {*found.sizes}


def test_every_class_is_drawn_and_of_thousands_some_hundreds_with_the_last(tmp_path):
    drawn: set[int] = set()

    class Watched(FakeEngine):
        def _forward(self, z, label):
            assert label is not None
            drawn.update(label.tolist())
            return super()._forward(z, label)

    for count in (3, 40, 3000):
        drawn.clear()
        contract = Tiny(classes=tuple(f"c{i}" for i in range(count))).contract()
        found = trial.judge(b"", contract, Watched(contract), 8)
        assert found.classes == min(count, trial.MOST_CLASSES)
        assert count - 1 in drawn
        assert len(drawn) >= found.classes


def test_a_slow_file_is_tried_once_at_every_size_and_no_more():
    contract = Tiny(classes=None).contract()
    passes: list[int] = []
    engine = FakeEngine(contract, pass_seconds=0.02, on_pass=passes.append)
    found = trial.judge(b"", contract, engine, 8)
    assert found.seconds > trial.SECONDS
    assert passes == [1] * 9 + [1, 2, 3, 5, 8, 1]  # the last for truncation


def test_a_class_that_an_engine_fails_on_is_found_at_load():
    contract = Tiny().contract()
    with pytest.raises(ContractError, match="fake fails on a batch of 1 of labels 9 to 9"):
        trial.judge(b"", contract, FakeEngine(contract, fail_on=9), 8)


def test_the_graph_of_a_good_file_is_not_refused():
    assert parse(hostile.file()).class_count == hostile.CLASSES
    assert parse(Tiny(classes=None).file()).class_count == 0
