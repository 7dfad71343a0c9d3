"""What every study is given, and how one is written down."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from rich.progress import Progress

from training.data.dataset import Dataset
from training.evaluation.generated import Source
from training.evaluation.quality.comparison import Sample
from training.evaluation.quality.judge import Judge
from training.evaluation.reference import bar


@dataclass(frozen=True)
class Study:
    """A data set and, where it is asked for, its judge; `count` real images of both splits, none of which the judge was trained on, and what opens an exported generator of the same images.

    updates: how long a study that trains does so, in updates of both networks. work: its checkpoints' folder.
    """

    dataset: Dataset
    trained: Callable[[], Judge]
    held_out: Sample
    training: Sample
    opened: Callable[[], Source]
    updates: int
    work: Path
    progress: Progress

    @cached_property
    def judge(self) -> Judge:
        """Trained now, which takes minutes, unless it is kept."""
        return self.trained()

    @cached_property
    def source(self) -> Source:
        """Read now: not every study asks for it."""
        return self.opened()

    @property
    def count(self) -> int:
        return len(self.held_out.images)

    def bar(self, description: str, total: int) -> Callable[[int], None]:
        return bar(self.progress, description, total)


def show(axes: Axes, image: NDArray[np.uint8]) -> None:
    """image: uint8 [C, H, W], C 1 (grey) or 3."""
    axes.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])


class Program(NamedTuple):
    """A study: what it measures, the picture of it, and the table."""

    run: Callable[[Study, Path], dict[str, Any]]
    """Measures, draws the picture into this file, and returns the figures in JSON types."""
    block: Callable[[dict[str, Any]], str]
    """The figures -> Markdown."""
    of_model: bool = True
    """Whether it asks for an exported generator."""
