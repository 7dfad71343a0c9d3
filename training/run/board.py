"""TensorBoard, by images seen."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from training.data.dataset import Pixels


class Board(AbstractContextManager["Board"]):
    """Scalars and sample grids of a run, or nothing at all where it is switched off."""

    def __init__(self, folder: Path, images_seen: int, enabled: bool) -> None:
        self.folder, self.enabled, self.writer = folder, enabled, None
        self.open(images_seen)

    def open(self, images_seen: int) -> None:
        """Go on from here, or from an earlier state: what was written of later ones is drawn over."""
        self.__exit__()
        if self.enabled:
            # Imported late: it takes a second or two.
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=images_seen)

    def __exit__(self, *_: Any) -> None:
        if self.writer:
            self.writer.close()

    def add_scalars(self, figures: dict[str, float], images_seen: int) -> None:
        if self.writer:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, images_seen)

    def add_text(self, name: str, words: str, images_seen: int) -> None:
        if self.writer:
            self.writer.add_text(name, words, images_seen)

    def add_image(self, name: str, image: Pixels, images_seen: int) -> None:
        """image: uint8 [C, H, W]."""
        if self.writer:
            self.writer.add_image(name, image, images_seen)
