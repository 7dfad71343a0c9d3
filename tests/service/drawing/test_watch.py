"""The quality watch sees what a judge of the model's images would, and costs what it was given."""

import asyncio
import io
import logging
import math
import time
from collections.abc import Iterator, Sequence

import pytest
from prometheus_client.metrics import MetricWrapperBase

from service import metrics
from service.drawing.watch import Watch
from service.generator.engines.fake import FakeEngine
from service.registry.models import Models
from tests.generators import Tiny
from tests.service import watched
from tests.service.loaded import loaded
from tests.waiting import until

PLAIN = Tiny(classes=None, golden_samples=0)
FILES = {
    "watched-sound": watched.TINY.file,
    "watched-perturbed": watched.perturbed,
    "watched-permuted": watched.permuted,
    "watched-collapsed": watched.collapsed,
    "watched-retired": watched.TINY.file,
    "watched-plain": PLAIN.file,
    "watched-colour": Tiny(image=(3, 8, 8)).file,
    "unwatched": watched.TINY.file,
}
FIGURES = (
    "frechet_distance",
    "class_accuracy",
    "least_class_accuracy",
    "in_class_diversity",
    "least_class_diversity",
)


def value(metric: MetricWrapperBase, model: str, **labels: str) -> float:
    """Of its counters and histograms the sum; NaN where it has none of these labels."""
    wanted = {"model": model, **labels}.items()
    found = [
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if wanted <= sample.labels.items() and not sample.name.endswith(("_created", "_bucket", "_count"))
    ]
    return found[-1] if found else math.nan


def figure(name: str, model: str) -> float:
    metric = metrics.quality_distance if "distance" in name else metrics.quality_ratio
    return value(metric, model, figure=name)


def worse(model: str, figures: Sequence[str] = FIGURES) -> set[str]:
    """Its figures that are beyond their limit, as the alert reads them."""
    beyond = set()
    for name in figures:
        found, limit = figure(name, model), value(metrics.quality_limit, model, figure=name)
        assert not math.isnan(found), f"{name} of {model} is told"
        assert not math.isnan(limit)
        if (found > limit) if "distance" in name else (found < limit):
            beyond.add(name)
    return beyond


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> str:
    """All of them were watched for a window's images, and one was retired then. Gives the log."""
    root = tmp_path_factory.mktemp("models")
    log, records = logging.getLogger("bentoml.ganserve.watch"), io.StringIO()
    log.addHandler(handler := logging.StreamHandler(records))
    with loaded(root, {name: make() for name, make in FILES.items()}, engine="onnxruntime") as models:
        judge = watched.watch()
        for name in set(FILES) - {"unwatched"}:
            content = watched.watch(PLAIN) if name == "watched-plain" else judge
            (root / name / "generator.watch").write_bytes(content)

        async def look() -> None:
            task = asyncio.create_task(Watch(models, 0.5, 20).run())
            told = [name for name in FILES if name not in ("watched-colour", "unwatched")]
            await until(lambda: not any(math.isnan(figure("frechet_distance", name)) for name in told), 60)
            models["watched-retired"].end()
            await until(lambda: math.isnan(figure("class_accuracy", "watched-retired")))
            task.cancel()

        asyncio.run(look())
        assert {name for name in models if models[name].state == "ready"} == set(FILES) - {"watched-retired"}
    log.removeHandler(handler)
    return records.getvalue()


@pytest.mark.usefixtures("seen")
def test_a_model_as_it_was_exported_is_within_its_limits():
    assert worse("watched-sound") == set()
    floor = value(metrics.quality_floor, "watched-sound", figure="class_accuracy")
    assert figure("class_accuracy", "watched-sound") == pytest.approx(floor, abs=0.1)


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("watched-perturbed", "frechet_distance"),
        ("watched-permuted", "least_class_accuracy"),
        ("watched-collapsed", "least_class_diversity"),
    ],
)
def test_one_that_draws_worse_is_beyond_one(model, told):
    assert told in worse(model)


@pytest.mark.usefixtures("seen")
def test_an_unconditional_model_is_watched_by_its_distance():
    assert worse("watched-plain", ["frechet_distance"]) == set()
    assert math.isnan(figure("class_accuracy", "watched-plain"))


def test_a_model_that_can_not_be_watched_is_told_and_serves(seen):
    assert "watched-colour" in seen
    assert "those of a judge of these images" in seen
    assert "unwatched" not in seen


@pytest.fixture
def slow(request, tmp_path) -> Iterator[Models]:
    """A model, named as the test, whose passes take a while."""
    engine = FakeEngine(watched.TINY.contract(), lanes=1, max_batch=8, pass_seconds=0.005)
    name = request.node.name.replace("_", "-")
    with loaded(tmp_path, {name: watched.TINY.file()}, on=engine, engine="fake", max_batch=8) as models:
        (tmp_path / name / "generator.watch").write_bytes(watched.watch())
        yield models


def test_cost_is_at_most_its_share_of_a_lane(slow):
    (name,) = slow

    async def look() -> None:
        begun = time.monotonic()
        task = asyncio.create_task(Watch(slow, 0.03, 20).run())
        await until(lambda: value(metrics.forward_passes, name) >= 7)
        await until(lambda: value(metrics.quality_seconds, name) > 0)
        spent = value(metrics.forward_seconds, name)
        counted = value(metrics.quality_seconds, name)
        await until(lambda: value(metrics.forward_passes, name) >= 8)
        passed = time.monotonic() - begun
        assert 0 < spent < 0.03 * passed
        assert 0 < counted < 0.03 * passed
        task.cancel()

    asyncio.run(look())


def test_it_looks_on_beside_requests(slow):
    (model,) = slow.values()

    async def look() -> None:
        async def ask() -> None:
            while True:
                z = model.contract.seeded(range(8), 1.0, None)
                await model.batcher.submit(model.line, z, [0] * 8, time.monotonic() + 20, len)

        tasks = [asyncio.create_task(ask()) for _ in range(2)]
        tasks.append(asyncio.create_task(Watch(slow, 0.5, 20).run()))
        await until(lambda: value(metrics.quality_seconds, model.name) > 0)
        for task in tasks:
            task.cancel()

    asyncio.run(look())
