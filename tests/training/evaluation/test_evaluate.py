from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from service.generator.contract import ImageShape
from service.generator.latents import latents
from tests.training.pictures import CLASS_NAMES, draw, squares
from training.data.dataset import Dataset
from training.errors import UserError
from training.evaluation.evaluate import Evaluation, evaluate_beside
from training.evaluation.generated import Source
from training.evaluation.quality.figures import FIGURES
from training.evaluation.quality.judging import JudgeSettings
from training.evaluation.reference import reference
from training.research.comparison.table import NEARNESS, VARIETY

JUDGE = JudgeSettings("plain", images=2560)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """One trained judge for all tests of this file."""
    return tmp_path_factory.mktemp("judges")


def source_of(images: np.ndarray, classes: tuple[str, ...] | None = CLASS_NAMES) -> Source:
    """A generator whose image of seed i is image i; it is asked in order."""
    waiting = iter(images)

    def forward(z, label):
        return np.stack([next(waiting) for _ in z])

    return Source(
        forward,
        4,
        classes,
        ImageShape(1, *images.shape[2:]),
        {"engine": "list"},
        50,
        partial(latents, z_dim=4),
    )


def evaluation_of(images: np.ndarray, cache: Path, **options) -> Evaluation:
    dataset = options.pop("dataset", squares())
    with Progress(console=Console(quiet=True)) as progress:
        real = reference(dataset, [JUDGE], cache, progress)
        return evaluate_beside(real, source_of(images, **options), progress, 10_000)


def test_unseen_real_images_are_as_good_as_the_floor(cache):
    evaluation = evaluation_of(draw(120, 28, seed=2)[0], cache)
    (verdict,) = evaluation.verdicts
    distance = verdict.figures["frechet_distance"]
    assert distance.value < 3 * distance.floor
    assert distance.standard_error is not None
    assert distance.standard_error > 0
    assert verdict.train_accuracy - verdict.unseen_accuracy < 0.01
    assert evaluation.pixels["usefulness"].value > 0.9
    assert verdict.figures["class_accuracy"].value > 0.95
    score = verdict.figures["inception_score"]
    assert score.value == pytest.approx(score.floor, abs=0.1)
    assert 2 < score.value < 3, "of three classes, by a judge that mixed images have made cautious"
    assert verdict.figures["coverage"].value > 0.85
    assert all(figure.images == 120 for figure in verdict.figures.values())
    assert list(verdict.class_accuracies) == list(verdict.class_diversities) == list(CLASS_NAMES)
    within = verdict.figures["intra_class_frechet_distance"]
    assert within.value < 3 * within.floor
    assert verdict.figures["in_class_diversity"].value == pytest.approx(1, abs=0.15)
    similarity = evaluation.pixels["in_class_similarity"]
    assert similarity.value == pytest.approx(similarity.floor, abs=0.1)
    likelihood = evaluation.pixels["parzen_log_likelihood"]
    assert likelihood.standard_error is not None
    assert abs(likelihood.value - likelihood.floor) < 5 * likelihood.standard_error
    median = evaluation.memory["nearest_median"]
    assert median.value == pytest.approx(median.floor, rel=0.1)


def test_every_figure_has_its_words_and_its_column_in_comparisons(cache):
    evaluation = evaluation_of(draw(120, 28, seed=2)[0], cache)
    measured = evaluation.verdicts[0].figures | evaluation.pixels | evaluation.memory
    assert set(measured) == set(FIGURES) == NEARNESS.keys() | VARIETY.keys()


def test_a_judge_that_knows_its_half_better_than_the_other_is_said_to_remember(cache):
    dataset = squares()
    with Progress(console=Console(quiet=True)) as progress:
        real = reference(dataset, [JUDGE], cache, progress)
        (bench,) = real.benches

        def notes(unseen_accuracy: float) -> list[str]:
            known = bench.judge._replace(train_accuracy=0.95, unseen_accuracy=unseen_accuracy)
            changed = replace(real, benches=[replace(bench, judge=known)])
            return evaluate_beside(changed, source_of(draw(120, 28, seed=2)[0]), progress, 120).notes

        assert notes(0.945) == []
        (note,) = notes(0.93)
    assert "95.0 % of them right, 93.0 % of the half that it never saw" in note


def test_noise_is_far_from_the_floor(cache):
    noise = np.random.default_rng(0).integers(0, 256, size=(120, 1, 28, 28), dtype=np.uint8)
    figures = evaluation_of(noise, cache).verdicts[0].figures
    assert figures["frechet_distance"].value > 30 * figures["frechet_distance"].floor
    assert figures["coverage"].value < 0.2
    assert figures["class_accuracy"].value < 0.7


def test_copies_of_training_images_show_as_memorised(cache):
    memory = evaluation_of(squares().images[:120], cache).memory
    assert memory["nearest_median"].value == 0
    assert memory["nearest_median"].floor > 5


def test_right_pictures_of_wrong_classes_cost_only_class_accuracy(cache):
    figures = evaluation_of(np.roll(draw(120, 28, seed=2)[0], 1, axis=0), cache).verdicts[0].figures
    assert figures["class_accuracy"].value < 0.05
    assert figures["frechet_distance"].value < 3 * figures["frechet_distance"].floor
    within = figures["intra_class_frechet_distance"]
    assert within.value > 30 * within.floor


def test_a_class_that_is_one_image_shows_within_classes_and_not_in_the_inception_score(cache):
    evaluation = evaluation_of(squares().images[np.arange(120) % 3], cache)
    figures = evaluation.verdicts[0].figures
    score = figures["inception_score"]
    assert score.value == pytest.approx(score.floor, abs=0.1)
    assert figures["class_accuracy"].value > 0.95
    assert figures["in_class_diversity"].value < 0.01
    assert evaluation.pixels["in_class_similarity"].value > 0.99
    assert figures["intra_class_frechet_distance"].value > 5 * figures["intra_class_frechet_distance"].floor


def test_one_class_that_is_one_image_is_named_where_the_mean_over_classes_hides_it(cache):
    images, alike = draw(120, 28, seed=2)[0], np.arange(120) % 3 == 1
    images[alike] = images[1]
    (verdict,) = evaluation_of(images, cache).verdicts
    assert verdict.figures["in_class_diversity"].value > 0.6
    assert verdict.figures["least_class_diversity"].value < 0.01
    variety = {name: figure.value for name, figure in verdict.class_diversities.items()}
    assert min(variety, key=lambda name: variety[name]) == CLASS_NAMES[1]


def test_draws_of_other_seeds_give_the_spread_and_stand_beside_that_of_real_draws(cache):
    dataset, images = squares(train=600, test=120), draw(240, 28, seed=2)[0]
    with Progress(console=Console(quiet=True)) as progress:
        real = reference(dataset, [JUDGE], cache, progress)
        both = evaluate_beside(real, source_of(images), progress, 120, several=2)
        one, other = (
            evaluate_beside(real, source_of(half), progress, 120) for half in (images[:120], images[120:])
        )
    assert (both.images, both.draws, one.draws) == (120, 2, 1)
    for name in ("frechet_distance", "recall", "in_class_diversity"):
        found, values = (
            both.verdicts[0].figures[name],
            [e.verdicts[0].figures[name].value for e in (one, other)],
        )
        assert found.value == pytest.approx(np.mean(values))
        assert found.spread == pytest.approx(np.std(values, ddof=1))
        assert one.verdicts[0].figures[name].spread is None
        assert found.floor_spread == one.verdicts[0].figures[name].floor_spread is not None


def test_an_unconditional_generator_has_no_figures_of_classes(cache):
    evaluation = evaluation_of(draw(120, 28, seed=2)[0], cache, classes=None)
    (verdict,) = evaluation.verdicts
    of_classes = {
        "class_accuracy", "intra_class_frechet_distance", "in_class_diversity", "least_class_diversity",
    }  # fmt: skip
    assert not of_classes & verdict.figures.keys()
    assert verdict.figures["frechet_distance"].value < 3 * verdict.figures["frechet_distance"].floor
    assert verdict.class_accuracies == {}
    assert evaluation.pixels.keys() == {"parzen_log_likelihood", "parzen_sigma"}
    assert "not told the class" in evaluation.notes[0]


def test_fewer_images_than_asked_and_unequal_classes_are_said(cache):
    real = squares()
    chosen = np.flatnonzero((real.test_labels == 0) | (np.arange(120) < 60))
    skewed = Dataset(
        "skewed", CLASS_NAMES, real.images, real.labels, real.test_images[chosen], real.test_labels[chosen]
    )
    evaluation = evaluation_of(draw(120, 28, seed=2)[0], cache, dataset=skewed)
    assert evaluation.images == 80
    assert [note.split()[0] for note in evaluation.notes] == ["80", "Generated"]


@pytest.mark.parametrize("classes", [("a", "b", "c"), CLASS_NAMES[:2]])
def test_another_data_set_is_refused(cache, classes):
    with pytest.raises(UserError, match="classes are"):
        evaluation_of(draw(120, 28, seed=2)[0], cache, classes=classes)


def test_images_of_another_shape_are_refused(cache):
    with pytest.raises(UserError, match="shape"):
        evaluation_of(draw(120, 32, seed=2)[0], cache)
