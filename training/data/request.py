"""What is asked of a reader of data sets, and the forms in which layouts hand their pictures on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from training.data.notes import Notes


@dataclass(frozen=True)
class Request:
    """path: the file or folder. name: of the data set. size: crop each picture to a square of this side, if given."""

    path: Path
    name: str
    size: int | None
    notes: Notes = field(default_factory=Notes)


class Row(NamedTuple):
    """One encoded picture."""

    name: str
    label: int
    is_test: bool


class Listing(NamedTuple):
    """Encoded pictures before any is decoded. contents: their files, in the order of the rows, as often as asked."""

    rows: list[Row]
    class_names: tuple[str, ...]
    contents: Callable[[], Iterator[bytes]]
