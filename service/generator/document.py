"""What a generator file says of itself: one JSON document, in its metadata. contract.py reads and checks it."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.errors import InvalidField
from service.generator.classes import ClassNames, folded
from service.generator.file.folded import Weights
from service.generator.file.inputs import (
    ROLES,
    Input,
    count_behind,
    image_of,
    plain,
    space_of,
    text_of,
    weights_of,
)
from service.generator.file.named import code_rows, rows_behind
from service.generator.file.outputs import IMAGE, Output, beside
from service.generator.latents import Seeded, Space, latents, truncate, with_codes

COUNTED_PIXELS = 2**15
TRANSLATES = "This model makes a picture of one that it is given: POST /v1/translations takes it."


class ImageShape(Struct, frozen=True):
    """Shape of one image: channels (1 grey, 3 RGB, 4 RGBA, in schema 2), height and width in pixels."""

    channels: Annotated[int, Meta(ge=1, le=4)]
    height: Annotated[int, Meta(ge=1, le=4096)]
    width: Annotated[int, Meta(ge=1, le=4096)]

    @property
    def counts_as(self) -> int:
        """Where images are counted, what one of these is: as many as it begins parts of 32,768 pixels (181x181)."""
        return -(-self.height * self.width // COUNTED_PIXELS)

    def most_images(self, limit: int) -> int:
        """Of one request; limit: the server's."""
        return max(1, limit // self.counts_as)


class GoldenSample(Struct, frozen=True, omit_defaults=True):
    """The image that the PyTorch EMA network gives for (seed, label), and the text, as PNG (base64 in JSON).

    beside: the first numbers of what comes beside it, by the output's name.
    """

    seed: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    label: Annotated[int, Meta(ge=0)] | None
    png: bytes
    beside: dict[str, list[float]] = {}
    text: str = ""


class Contract(Struct, frozen=True, dict=True, omit_defaults=True):
    """What a generator file says of itself. Fields with a default are optional for the writer.

    Of schema 2: inputs, what the graph takes, and outputs, what it gives; batch, of every pass, where the graph takes one number of images only;
    weights, the files beside it that hold its external data.
    """

    schema: int
    name: str
    z_dim: Annotated[int, Meta(ge=1, le=2**20)]
    classes: list[str] | None
    image: ImageShape
    inputs: list[Input] | None = None
    outputs: list[Output] | None = None
    batch: Annotated[int, Meta(ge=1, le=4096)] | None = None
    weights: list[Weights] = []
    golden: list[GoldenSample] = []
    training: dict[str, Any] = {}
    quality: dict[str, Any] = {}

    @cached_property
    def declared(self) -> list[Input]:
        """Every input, also of schema 1."""
        return self.inputs or plain(self.z_dim, self.classes is not None)

    @cached_property
    def told(self) -> list[Input]:
        """Every input as cards have it: without a tokenizer, which may be megabytes."""
        return [msgspec.structs.replace(one, tokenizer="") for one in self.declared]

    @cached_property
    def is_plain(self) -> bool:
        """Whether the graph's inputs are those of schema 1."""
        told = [(one.name, one.role, one.shape) for one in self.declared]
        return told == [
            (one.name, one.role, one.shape) for one in plain(self.z_dim, self.classes is not None)
        ]

    @cached_property
    def given(self) -> list[Output]:
        """Every output, also of a file that declares none."""
        image = self.image
        return self.outputs or [Output(IMAGE, "image", [image.channels, image.height, image.width])]

    @cached_property
    def beside(self) -> list[Output]:
        """What comes beside the picture, for who asks for it by name."""
        return beside(self.given)

    @cached_property
    def space(self) -> Space | None:
        """None where an image's row of numbers is a standard normal z."""
        return space_of(self.declared)

    @cached_property
    def row_dim(self) -> int:
        """Numbers of an image's row: z_dim, and what comes behind z."""
        return self.z_dim + count_behind(self.declared)

    @cached_property
    def text(self) -> Input | None:
        """The text among the inputs; None where the file takes none."""
        return text_of(self.declared)

    @cached_property
    def source(self) -> ImageShape | None:
        """Of the picture that it is given; None where it makes pictures of z alone."""
        found = image_of(self.declared)
        return None if found is None else ImageShape(*found[0].shape)

    @cached_property
    def uses_seed(self) -> bool:
        """Whether a seed decides anything where a picture is given."""
        return any(ROLES[one.role].is_z for one in self.declared if one.role != "image")

    def with_sources(self, z: NDArray[np.float32], sources: NDArray[np.uint8]) -> NDArray[np.float32]:
        """z with these pictures in their place, where the file takes one.

        z: float32 [N, z_dim], or rows; sources: uint8 [N, C, H, W], of the shape `source`.
        """
        found = image_of(self.declared)
        assert found is not None
        z = z.copy()
        z[:, found[1]] = sources.reshape(len(z), -1)
        return z

    def sources(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The pictures in these rows, uint8 [N, C, H, W], where the file takes one."""
        found = image_of(self.declared)
        assert found is not None
        return rows[:, found[1]].astype(np.uint8).reshape(len(rows), *found[0].shape)

    def exchanged(self, rows: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The rows with each picture that is given in another's place, and then with each text so; of what there is."""
        if self.source is not None:
            yield "picture", self.with_sources(rows, np.roll(self.sources(rows), 1, axis=0))
        if self.text is not None:
            others = rows.copy()
            others[:, -self.text.size :] = np.roll(rows[:, -self.text.size :], 1, axis=0)
            yield "text", others

    def require_seeds(self) -> None:
        """Raises InvalidField where a seed, or z, is not all that a picture is made of."""
        if self.source is not None:
            raise InvalidField("model", TRANSLATES)

    @cached_property
    def mixes_classes(self) -> bool:
        """Whether an image may be of several classes at once."""
        return weights_of(self.declared) > 0

    def drawn(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """z of these seeds, float32 [N, z_dim]."""
        return latents(seeds, self.z_dim) if self.space is None else self.space.draw(seeds)

    def rows(self, seeds: Sequence[int], texts: Sequence[str] | None = None) -> NDArray[np.float32]:
        """z of these seeds, all scalars at their defaults, and these texts, or empty ones: float32 [N, row_dim]."""
        return self.with_scalars(self.drawn(seeds), None, texts=texts)

    def texts(self, seeds: Sequence[int]) -> list[str] | None:
        """What the file is tried by, a text for each; None where it takes none."""
        return None if self.text is None else [self.text.reading.sample(seed) for seed in seeds]

    def seeded(
        self,
        seeds: Sequence[int],
        truncation: float,
        scalars: dict[str, float | list[float]] | None,
        weights: NDArray[np.float32] | None = None,
        texts: Sequence[str] | None = None,
    ) -> Seeded:
        """Rows that are not computed yet. weights: float32 [N, K], of classes; texts: N; where the file takes them.

        Raises InvalidField for scalars that there are not, or out of range, texts that can't be read, and where a picture
        must be given.
        """
        if self.space is None and not scalars and texts is None:
            return Seeded(seeds, self.z_dim, truncation)
        self.require_seeds()
        rows = rows_behind(self.declared, scalars, len(seeds), weights, texts)
        codes = code_rows(self.declared, scalars, len(seeds))
        return Seeded(seeds, self.z_dim, truncation, self.space, rows, codes)

    def with_scalars(
        self,
        z: NDArray[np.float32],
        scalars: dict[str, float | list[float]] | None,
        weights: NDArray[np.float32] | None = None,
        texts: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """z: float32 [N, z_dim], in which codes that are given are laid; the others: as above.

        Returns the rows, float32 [N, row_dim]. Raises InvalidField.
        """
        rows = rows_behind(self.declared, scalars, len(z), weights, texts)
        z = with_codes(z, code_rows(self.declared, scalars, len(z)))
        return z if rows is None else np.concatenate([z, rows], axis=1)

    def truncated(self, z: NDArray[np.float32], truncation: float) -> NDArray[np.float32]:
        """z, or rows, with what truncation scales scaled by it."""
        return truncate(z, truncation) if self.space is None else self.space.truncated(z, truncation)

    def scaled(self, rows: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
        """rows: float32 [N, row_dim]. z is far larger, or smaller, than a seed's, within what it may be."""
        if self.space is None:
            return rows * np.float32(scale)
        return self.space.scaled(rows, scale)

    @cached_property
    def class_count(self) -> int:
        """K; 0 for an unconditional generator."""
        return len(self.classes or ())

    @cached_property
    def names(self) -> ClassNames:
        return ClassNames(tuple(self.classes or ()))

    @property
    def label_name(self) -> str:
        """Of the graph's input."""
        return next((one.name for one in self.declared if one.role == "label"), "label")

    @property
    def slugs(self) -> list[str]:
        """The class names as URLs write them, in the order of the labels."""
        return self.names.slugs

    def label_of(self, name: str) -> int | None:
        """The label of a class by its name, in any case, or its slug."""
        return self.names.label_of.get(folded(name))
