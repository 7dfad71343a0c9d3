"""What is asked of a reader of data sets, and the form in which layouts hand their pictures on."""

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


class Place(NamedTuple):
    """An encoded picture, its class and its split, neither of which need be known."""

    name: str
    label: str | int | None
    split: str
