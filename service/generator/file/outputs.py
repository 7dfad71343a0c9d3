"""What a generator gives, declared by role: `outputs` of the contract's schema 2. All that must know it reads it here.

The picture is one of them, and without a declaration the only one. What comes beside it is given to who asks for it by name.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.generator.file.inputs import NAME

IMAGE = "image"
"""What requests and engines call the picture, whatever the graph does."""
MOST_NUMBERS = 2**20
"""Of one image, in all that comes beside it."""
GOLDEN_NUMBERS = 64
"""Of each output, that a golden sample has at most."""
ELEMENTS = {"image": "UINT8", "z": "FLOAT", "logits": "FLOAT"}
"""By role, as ONNX names it."""


class Output(Struct, frozen=True, omit_defaults=True):
    """One output of the graph, of an image [*shape]: of the picture channels, height and width.

    role: z, a point of a latent space, as StyleGAN's w, or the z that was found for a picture; logits, a number a class, or
    whatever else a classifier or discriminator says before its sigmoid. about: what it is, for people.
    """

    name: str
    role: Literal["image", "z", "logits"]
    shape: list[Annotated[int, Meta(ge=1, le=MOST_NUMBERS)]]
    about: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def faults(outputs: Sequence[Output], image: Sequence[int], inputs: Sequence[str]) -> list[str]:
    """What is wrong with a declaration. image: the picture's channels, height and width. inputs: names of the inputs."""
    found = []
    names = [one.name for one in outputs]
    if len({*names, *inputs}) < len(names) + len(set(inputs)) or not all(map(NAME.fullmatch, names)):
        found.append("names of outputs are letters, digits, _ and ., each once, and none is an input's")
    pictures = [one for one in outputs if one.role == "image"]
    if len(pictures) != 1 or list(pictures[0].shape) != list(image):
        found.append(f"one output is an image, of the shape {list(image)}")
    further = beside(outputs)
    for one in further:
        if one.name == IMAGE:
            found.append(f"output {one.name}: only the picture is called that")
    if sum(one.size for one in further) > MOST_NUMBERS:
        found.append(f"what comes beside the image has up to {MOST_NUMBERS} numbers")
    return found


def beside(outputs: Sequence[Output]) -> list[Output]:
    """All but the picture."""
    return [one for one in outputs if one.role != "image"]
