"""What a generator takes, declared by role: schema 2 of the contract. All that must know it reads it here.

One row of `ROLES` is all there is to a role: its type and shape in the graph, whether its numbers are part of z, and what
a client sends. The check of the file, golden samples, load checks, the card, V2's metadata and the API follow.
"""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from service.generator.latents import Part, Space
from service.generator.laws import PIXELS, WHOLE
from service.generator.text.reading import Reading

Law = Literal["normal", "truncated", "uniform", "uniform01", "whole"]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
WEIGHTS = "class_weights"
"""What requests that have tensors call them."""
# What requests, addresses and tensors call something else.
TAKEN = {WEIGHTS, "z", "seed", "label", "truncation", "quality", "format", "image", "n", "model", "text"}


class Role(NamedTuple):
    """element: as ONNX names it; is_z: its numbers are drawn from the seed; scales: by truncation, too.

    law: of those numbers, where the role has one of its own.
    """

    element: str
    is_z: bool = False
    scales: bool = False
    law: str = ""


ROLES = {
    "z": Role("FLOAT", is_z=True, scales=True),
    "noise": Role("FLOAT", is_z=True),
    # Drawn from the seed where nobody gives a picture: at load, and for golden samples.
    "image": Role("UINT8", is_z=True, law=PIXELS),
    # Drawn from the seed where a request does not choose it: InfoGAN's.
    "code": Role("FLOAT", is_z=True),
    "scalar": Role("FLOAT"),
    "label": Role("INT64"),
    "class_weights": Role("FLOAT"),
    # Token ids; a text where nobody gives one is the empty one.
    "text": Role("INT64"),
}


class Input(Struct, frozen=True, omit_defaults=True):
    """One input of the graph.

    shape: of one image's part: of z and noise; of an image, the picture that is given, channels, height and width; a scalar
    and a label have none, nor has a code. law: what the numbers of z, noise and codes were in training: standard normal; that within
    -2 to 2; uniform in -1 to 1, or in 0 to 1; of a code also whole: each of 0, 1, ... and high as often. low, high, default: of a
    scalar, which a request may choose, and of a code, which has no default: the seed draws it, by its law, unless a request
    chooses it, up to its bounds. about: what it does, for people. class_weights: in the place of a label, one weight a class, so that an image
    may be of several; a class alone has 1 and the others 0. words, or tokenizer and pad: of a text, how it is read (text/reading.py);
    its shape is [tokens].
    """

    name: str
    role: Literal["z", "noise", "image", "code", "scalar", "label", "class_weights", "text"]
    shape: list[Annotated[int, Meta(ge=1, le=2**20)]] = []
    law: Law = "normal"
    low: float | None = None
    high: float | None = None
    default: float | None = None
    about: str = ""
    words: list[str] = []
    tokenizer: str = ""
    pad: Annotated[int, Meta(ge=0)] = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def numbers(self) -> str:
        """The law of its numbers, as laws.py calls it."""
        if self.law == "whole":
            return f"{WHOLE}{int(self.high or 0) + 1}"
        return ROLES[self.role].law or self.law

    @property
    def bounds(self) -> tuple[float, float, float]:
        """Low, high and default of a scalar."""
        assert self.low is not None
        assert self.high is not None
        assert self.default is not None
        return self.low, self.high, self.default

    @property
    def reading(self) -> Reading:
        """Of a text."""
        return Reading(self.size, tuple(self.words), self.tokenizer, self.pad)


def plain(z_dim: int, classes: bool) -> list[Input]:
    """What schema 1 has."""
    label = [Input("label", "label")] if classes else []
    return [Input("z", "z", [z_dim]), *label]


def space_of(inputs: Sequence[Input]) -> Space | None:
    """None where an image's row of numbers is a standard normal z that truncation scales, and no more."""
    drawn = [one for one in inputs if ROLES[one.role].is_z]
    parts = tuple(Part(one.size, one.numbers, ROLES[one.role].scales) for one in drawn)
    count = count_behind(inputs)
    if not count and all(part.law == "normal" and part.scales for part in parts):
        return None
    return Space(parts, count)


def image_of(inputs: Sequence[Input]) -> tuple[Input, slice] | None:
    """The image among the inputs, and where in a row its numbers are; None where there is none."""
    begin = 0
    for one in inputs:
        if one.role == "image":
            return one, slice(begin, begin + one.size)
        begin += one.size if ROLES[one.role].is_z else 0
    return None


def scalars_of(inputs: Sequence[Input]) -> list[Input]:
    return [one for one in inputs if one.role == "scalar"]


def weights_of(inputs: Sequence[Input]) -> int:
    """How many classes an image may be of at once; 0 where it has one label, or none."""
    return next((one.size for one in inputs if one.role == "class_weights"), 0)


def text_of(inputs: Sequence[Input]) -> Input | None:
    return next((one for one in inputs if one.role == "text"), None)


def count_behind(inputs: Sequence[Input]) -> int:
    """Numbers of an image's row behind z: the scalars, then a weight for each class, then the ids of its text."""
    written_text = text_of(inputs)
    return len(scalars_of(inputs)) + weights_of(inputs) + (written_text.size if written_text else 0)


def faults(inputs: Sequence[Input], z_dim: int, classes: int | None) -> list[str]:
    """What is wrong with a declaration. classes: how many there are; None of an unconditional generator."""
    found = []
    names = [one.name for one in inputs]
    if len(set(names)) < len(names) or not all(map(NAME.fullmatch, names)):
        found.append("names of inputs are letters, digits, _ and ., each once")
    roles = [one.role for one in inputs]
    labels = roles.count("label") + roles.count("class_weights")
    if not inputs or roles[0] not in ("z", "image") or labels != int(classes is not None):
        found.append(
            "the first input is z, or an image, and there is one label if there are classes, else none"
        )
    if roles.count("image") > 1 or "image" in names:
        found.append("one input at most is an image, and none is called image, as the output is")
    if (size := sum(one.size for one in inputs if ROLES[one.role].is_z)) != z_dim:
        found.append(f"z_dim is {z_dim}, and z, noise and image have {size} numbers")
    for one in inputs:
        if one.role == "class_weights":
            if one.shape != [classes]:
                found.append(f"input {one.name}: class_weights have the shape [{classes}], one a class")
        elif one.role == "image":
            if len(one.shape) != 3 or one.shape[0] not in (1, 3, 4) or max(one.shape) > 4096:
                found.append(f"input {one.name}: an image has 1, 3 or 4 channels, a height and a width")
            if one.law != "normal":
                found.append(f"input {one.name}: an image has no law")
        elif one.role == "text":
            wrong = one.reading.faults() if len(one.shape) == 1 else ["a text has the shape [tokens]"]
            found += [f"input {one.name}: {fault}" for fault in wrong]
        elif (one.role in ("z", "noise")) != bool(one.shape):
            found.append(f"input {one.name}: z and noise have a shape, {one.role} has none")
        given = [value for value in (one.low, one.high, one.default) if value is not None]
        if one.law == "whole" and one.role != "code":
            found.append(f"input {one.name}: only a code has the law whole")
        if one.role == "code":
            found += _faults_of_code(one)
        elif one.role != "scalar":
            if given:
                found.append(
                    f"input {one.name}: only a scalar has low, high and default, and a code low and high"
                )
        elif len(given) < 3 or not -1e9 <= one.bounds[0] <= one.bounds[2] <= one.bounds[1] <= 1e9:
            found.append(f"input {one.name}: a scalar has low <= default <= high")
        elif one.name in TAKEN:
            found.append(
                f"input {one.name}: a scalar can't be called that, which requests call something else"
            )
    if roles.count("text") > 1:
        found.append("one input at most is a text")
    return found


def _faults_of_code(one: Input) -> list[str]:
    if (
        one.low is None
        or one.high is None
        or one.default is not None
        or not -1e9 <= one.low < one.high <= 1e9
    ):
        return [f"input {one.name}: a code has low < high, and no default"]
    if one.law == "whole" and (one.low != 0 or one.high % 1 or one.high >= 2**16):
        return [f"input {one.name}: a code that is whole has low 0 and a whole high, below 65,536"]
    if one.name in TAKEN:
        return [f"input {one.name}: a code can't be called that, which requests call something else"]
    return []
