"""What a person says of a generator that its file does not say; and what is still open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from numpy.typing import NDArray

from service.generator.file.inputs import Law


def printable(text: str) -> str:
    """On one line of a terminal, whatever names a file has: also what turns lines around is written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def sentence(text: str) -> str:
    """As the service has it -> a sentence of its own."""
    return f"{text[0].upper()}{text[1:]}."


@dataclass(frozen=True)
class Fault:
    """What keeps a file from being served, and what would mend it: an option, or another export."""

    what: str
    mend: str


class Refused(Exception):
    """The file can't be imported as it stands: every fault that was found."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(fault.what for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Wishes:
    """Options of the command. What is None is found out, or asked for.

    z, label, output: names of inputs and of the output. z_shape: of one image's z. image: channels, height, width.
    scale: what z is multiplied by before the graph. drawn: inputs of noise, which the seed decides, too. scalars: inputs that
    a request may choose: low, high, default. beside: outputs that are kept beside the picture, with their roles. text, text_shape,
    tokenizer: the input of token ids, of how many, and the tokenizer's JSON. classes: their names, or how many there are.
    """

    z: str | None = None
    z_shape: tuple[int, ...] | None = None
    law: Law = "normal"
    scale: float = 1.0
    drawn: Sequence[str] = ()
    scalars: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    text: str | None = None
    text_shape: tuple[int, ...] | None = None
    tokenizer: str | None = None
    label: str | None = None
    classes: list[str] | int | None = None
    constants: Mapping[str, float | NDArray] = field(default_factory=dict)
    output: str | None = None
    beside: Mapping[str, Literal["z", "logits"] | None] = field(default_factory=dict)
    image: tuple[int, int, int] | None = None
    layout: str | None = None
    range: str | None = None
    noise: str | None = None
