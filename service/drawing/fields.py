"""Fields that several requests have: types, limits, and what /openapi.json says of them.

Where a text names {settings.x}, the document has the server's own.
"""

from typing import Annotated

from msgspec import Meta

from service.generator.latents import MAX_SEED
from service.generator.text.reading import MOST_CHARACTERS

SEED = "Seed of the first image; by default drawn below 2^32, and returned."
TRUNCATION = "z is multiplied by it: less variety, more typical images. Only 1 where a model's card has truncation false."
SCALARS = "What else the generator takes, by name, as its card's `inputs` say with ranges and defaults, as psi: 0.7. A code, as c1: -1.5, is drawn from the seed where none is given."
TEXT = "What is to be drawn, of a model whose card has an input of the role text: in its words, which the card lists, or whatever its tokenizer reads. By default the empty text."
TIMEOUT = "Seconds until 504; at most the server's {settings.timeout_seconds}."
MODEL = "Model name, or name@version; by default the server's default model."

Label = int | str
Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]
Fraction = Annotated[float, Meta(gt=0, le=1)]
Seconds = Annotated[float, Meta(gt=0)]

ModelName = Annotated[str | None, Meta(description=MODEL)]
# Of requests that bring a picture.
FittingModelName = Annotated[
    str | None,
    Meta(description=f"{MODEL[:-1]}, or where that one cannot do this, the only one in memory that can."),
]
FirstSeed = Annotated[Seed | None, Meta(description=SEED)]
Truncation = Annotated[Fraction, Meta(description=TRUNCATION)]
Scalars = Annotated[dict[str, float] | None, Meta(description=SCALARS)]
ScalarsPerImage = Annotated[
    dict[str, float | list[float]] | None, Meta(description=f"{SCALARS[:-1]}; a list has one per image.")
]
Prompt = Annotated[str, Meta(max_length=MOST_CHARACTERS)]
Text = Annotated[Prompt | None, Meta(description=TEXT)]
TextPerImage = Annotated[Prompt | list[Prompt] | None, Meta(description=f"{TEXT} A list has one per image.")]
Timeout = Annotated[Seconds | None, Meta(description=TIMEOUT)]


def as_numbers(scalars: dict[str, float] | None) -> dict[str, float | list[float]] | None:
    """The same for all images."""
    return None if scalars is None else dict(scalars.items())
