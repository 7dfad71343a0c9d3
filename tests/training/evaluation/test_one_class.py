"""A data set of one class, or without labels: what is measured means something, and the rest is left out, with the reason."""

from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from tests.training.evaluation.test_evaluate import JUDGE, source_of
from tests.training.pictures import draw
from training.data.dataset import Dataset
from training.errors import UserError
from training.evaluation.evaluate import Evaluation, evaluate_beside
from training.evaluation.reference import reference
from training.evaluation.report import markdown
from training.export.gate import require

OF_CLASSES = {
    *("class_accuracy", "inception_score", "intra_class_frechet_distance"),
    *("in_class_diversity", "least_class_diversity"),
}


def corner(count: int, seed: int) -> np.ndarray:
    """Squares at the top left."""
    images, labels = draw(3 * count, 28, seed)
    return images[labels == 0]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Callable[[np.ndarray], Evaluation]:
    """Figures of these images, by a judge that is trained once."""
    cache, names = tmp_path_factory.mktemp("judges"), ("cat",)
    parts = corner(300, 0), np.zeros(300, np.int64), corner(120, 1), np.zeros(120, np.int64)

    def judged(images: np.ndarray) -> Evaluation:
        with Progress(console=Console(quiet=True)) as progress:
            real = reference(Dataset("corners", names, *parts), [JUDGE], cache, progress)
            return evaluate_beside(real, source_of(images, names), progress, 10_000)

    return judged


def test_real_images_are_near_the_floor_and_others_far_from_it(judged):
    evaluation = judged(corner(120, 3))
    (verdict,) = evaluation.verdicts
    distance = verdict.figures["frechet_distance"]
    assert distance.value < 5 * distance.floor
    assert verdict.figures["coverage"].value > 0.85
    assert verdict.test_accuracy > 0.9, "it has learnt nothing"
    others = judged(np.rot90(corner(120, 3), 1, axes=(2, 3))).verdicts[0].figures["frechet_distance"]
    assert others.value > 50 * others.floor
    left_out(evaluation)


def left_out(evaluation: Evaluation) -> None:
    (verdict,) = evaluation.verdicts
    assert not OF_CLASSES & verdict.figures.keys()
    assert verdict.class_accuracies == verdict.class_diversities == {}
    assert evaluation.pixels.keys() == {"parzen_log_likelihood", "parzen_sigma"}
    assert any("All images are of one class" in note for note in evaluation.notes)
    text = markdown(evaluation.to_json())
    assert "nan" not in text
    assert "quarter turns" in text
    with pytest.raises(UserError, match="unknown without classes"):
        require(evaluation, None, 0.5)
