"""What a generator must reach to be exported."""

from training.errors import UserError
from training.evaluation.evaluate import Evaluation


def require(evaluation: Evaluation, max_fid: float | None, min_class_accuracy: float | None) -> None:
    """Raises UserError, naming the figure that misses its bound in any judge's eyes.

    max_fid: of the Fréchet distance over its floor, because its unit is the judge's.
    """
    for verdict in evaluation.verdicts:
        figures, by = verdict.figures, f"by judge '{verdict.judge.architecture}'"
        distance, accuracy = figures["frechet_distance"], figures.get("class_accuracy")
        # Comparisons are false for NaN too.
        if max_fid is not None and not distance.value <= max_fid * distance.floor:
            raise UserError(
                f"not exported: the Fréchet distance {by} is {distance.value:.4g}, with a floor of {distance.floor:.4g}, "
                f"and so more than --max-fid {max_fid:g} times it"
            )
        if min_class_accuracy is not None and not (accuracy and accuracy.value >= min_class_accuracy):
            found = (
                f"is {accuracy.value:.4f}, less than" if accuracy else "is unknown without classes, against"
            )
            bound = f"--min-class-accuracy {min_class_accuracy:g}"
            raise UserError(f"not exported: the class accuracy {by} {found} {bound}")
