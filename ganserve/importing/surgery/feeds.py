"""From an image's row of numbers and its label to what a foreign graph is fed: in NumPy, and the same as nodes of a graph.

In NumPy the original is asked for the golden samples, so a mistake in the nodes shows as another picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper

from ganserve.importing.surgery.nodes import Nodes, Signature, plain_name
from service.generator.file.inputs import TAKEN, WEIGHTS, Input, Law, space_of
from service.generator.file.named import rows_behind
from service.generator.latents import latents
from service.generator.text.reading import Reading

LAWS = {
    "normal": "standard normal",
    "uniform": "uniform in -1 to 1",
    "uniform01": "uniform in 0 to 1",
    "truncated": "standard normal within -2 to 2",
}
MOST_PLAIN_Z = 2**16
"""Numbers of z that schema 1 of the contract has."""


@dataclass(frozen=True)
class Noise:
    """An input that takes numbers drawn from the seed: z itself, noise, or what random operators drew.

    shape: of one image's. The graph gets scale * number + shift.
    """

    input: Signature
    shape: tuple[int, ...]
    law: Law = "normal"
    scale: float = 1.0
    shift: float = 0.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Label:
    """The input that takes the class. shape: of one image's. one_hot: as a row of as many numbers as there are classes."""

    input: Signature
    shape: tuple[int, ...]
    one_hot: bool
    rows: int | None
    """Classes that the graph knows; None if that can't be seen."""
    classes: int | None = None
    """Those that have names: fewer than rows, or as many."""

    @property
    def is_mixed(self) -> bool:
        """Whether it takes weights over the classes: real numbers, one a class, of which all have names."""
        return self.one_hot and self.rows == self.classes and np.issubdtype(self.input.dtype, np.floating)


@dataclass(frozen=True)
class Constant:
    """An input that keeps one value. per_image: its first axis is the batch."""

    input: Signature
    value: NDArray
    per_image: bool


@dataclass(frozen=True)
class Scalar:
    """An input that a request may choose. shape: of one image's, all of one number; None: all images of a pass share it."""

    input: Signature
    shape: tuple[int, ...] | None
    low: float
    high: float
    default: float


@dataclass(frozen=True)
class Text:
    """The input that takes token ids, [N, length]; reading: how a text becomes them."""

    input: Signature
    reading: Reading


@dataclass(frozen=True)
class Feeds:
    """All inputs of a foreign graph. noises: z's own first."""

    noises: list[Noise]
    label: Label | None = None
    constants: list[Constant] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    text: Text | None = None

    @property
    def z_dim(self) -> int:
        return sum(noise.size for noise in self.noises)

    @property
    def is_plain(self) -> bool:
        """Whether schema 1 of the contract can say it: one standard normal z."""
        return (
            not self.scalars
            and not self.mixes
            and self.text is None
            and len(self.noises) == 1
            and self.noises[0].law == "normal"
            and self.z_dim <= MOST_PLAIN_Z
        )

    @property
    def mixes(self) -> int:
        """How many classes an image may be of at once; 0 where it is of one, or of none."""
        return self.label.rows or 0 if self.label is not None and self.label.is_mixed else 0

    @property
    def shares(self) -> bool:
        """Whether all images of a pass have the same of something that a request may choose."""
        return any(one.shape is None for one in self.scalars)

    @cached_property
    def declared(self) -> list[Input]:
        """As the contract has it: z first, each a row of numbers."""
        names = ["z", *(f"noise_{i}" for i in range(1, len(self.noises)))]
        noises = [
            Input(name, "noise" if i else "z", [noise.size], noise.law)
            for i, (name, noise) in enumerate(zip(names, self.noises, strict=True))
        ]
        label = [] if self.label is None else [Input("label", "label")]
        if self.mixes:
            label = [Input(WEIGHTS, "class_weights", [self.mixes])]
        scalars = [
            Input(
                plain_name(one.input.name, TAKEN, "scalar"),
                "scalar",
                low=one.low,
                high=one.high,
                default=one.default,
            )
            for one in self.scalars
        ]
        text = []
        if self.text is not None:
            length, _, tokenizer, pad = self.text.reading
            text = [Input("text", "text", [length], tokenizer=tokenizer, pad=pad)]
        return [*noises, *label, *text, *scalars]

    @property
    def weights(self) -> slice:
        """Where in a row the weights of classes are: behind z and the scalars, before the ids of a text."""
        begin = self.z_dim + len(self.scalars)
        return slice(begin, begin + self.mixes)

    def texts(self, seeds: Sequence[int]) -> list[str] | None:
        """What a file is tried by, and its golden samples are of; None where it reads no text."""
        return None if self.text is None else [self.text.reading.sample(seed) for seed in seeds]

    def rows(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """z of these seeds, and behind it the scalars, each at its default, weights of classes, which are all 0: the label counts; and
        the ids of a text of each seed.
        """
        space = space_of(self.declared)
        if space is None:
            return latents(seeds, self.z_dim)
        behind = rows_behind(self.declared, None, len(seeds), texts=self.texts(seeds))
        return np.concatenate([space.draw(seeds), *([] if behind is None else [behind])], axis=1)

    def infos(self, batch: int | None) -> list[ValueInfoProto]:
        """The inputs of the adapted graph. batch: None where it is free."""
        types = {"label": TensorProto.INT64, "text": TensorProto.INT64}
        return [
            helper.make_tensor_value_info(
                one.name, types.get(one.role, TensorProto.FLOAT), [batch or "N", *one.shape]
            )
            for one in self.declared
        ]

    def arrays(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> dict[str, NDArray]:
        """z: as `rows` has it, float32 [N, z_dim and more]; label: int64 [N]. Returns what the original is fed, by input.

        Of what all images share the first one's is taken.
        """
        fed, begin, count = {}, 0, len(z)
        for noise in self.noises:
            part = z[:, begin : begin + noise.size]
            begin += noise.size
            part = part * np.float32(noise.scale) + np.float32(noise.shift)
            fed[noise.input.name] = part.reshape(count, *noise.shape).astype(noise.input.dtype)
        if self.label is not None and label is not None:
            one, dtype = self.label, self.label.input.dtype
            rows = np.eye(one.rows, dtype=dtype)[label] if one.one_hot and one.rows else label.astype(dtype)
            if self.mixes:
                weights = z[:, self.weights]
                rows = np.where(weights.sum(axis=1, keepdims=True) > 0, weights.astype(dtype), rows)
            fed[one.input.name] = rows.reshape(count, *one.shape)
        for constant in self.constants:
            value = constant.value
            fed[constant.input.name] = np.repeat(value[None], count, 0) if constant.per_image else value
        for place, scalar in enumerate(self.scalars, self.z_dim):
            part = z[:, place].astype(scalar.input.dtype)
            if scalar.shape is None:
                fed[scalar.input.name] = part[:1].reshape([1] * len(scalar.input.dims or ()))
            else:
                fed[scalar.input.name] = part.reshape(count, *scalar.shape)
        if self.text is not None:
            fed[self.text.input.name] = z[:, -self.text.reading.length :].astype(self.text.input.dtype)
        return fed

    def add_to(self, nodes: Nodes) -> dict[str, str]:
        """The same as nodes, from the inputs of `infos`. Returns the name of what each input gets."""
        fed = {}
        declared = self.declared
        for one, noise in zip(declared, self.noises, strict=False):
            part = one.name
            if noise.scale != 1 or noise.shift != 0:
                part = nodes.add("Mul", part, nodes.constant(noise.scale))
                part = nodes.add("Add", part, nodes.constant(noise.shift))
            if len(noise.shape) != 1:
                part = nodes.add("Reshape", part, nodes.integers(-1, *noise.shape))
            fed[noise.input.name] = nodes.cast(part, noise.input.dtype, np.float32)
        if self.label is not None:
            part, one = "label", self.label
            if self.mixes:
                part = WEIGHTS
            elif one.one_hot:
                assert one.rows is not None
                part = nodes.add("OneHot", part, nodes.integers(one.rows), nodes.constant([0, 1]))
            if one.shape != ((one.rows,) if one.one_hot else ()):
                part = nodes.add("Reshape", part, nodes.integers(-1, *one.shape))
            was = np.float32 if one.one_hot else np.int64
            fed[one.input.name] = nodes.cast(part, one.input.dtype, was)
        for constant in self.constants:
            value = nodes.constant(constant.value, constant.input.dtype)
            if constant.per_image:
                count = nodes.add("Shape", "z", end=1)
                shape = nodes.add("Concat", count, nodes.integers(*constant.value.shape), axis=0)
                value = nodes.add("Expand", value, shape)
            fed[constant.input.name] = value
        for one, scalar in zip(declared[len(declared) - len(self.scalars) :], self.scalars, strict=True):
            part = one.name
            if scalar.shape != ():
                # Of a pass of one image what is shared is its own.
                shape = scalar.shape if scalar.shape is not None else _inner(scalar)
                part = nodes.add("Reshape", part, nodes.integers(*(() if shape is None else (-1, *shape))))
            fed[scalar.input.name] = nodes.cast(part, scalar.input.dtype, np.float32)
        if self.text is not None:
            fed[self.text.input.name] = nodes.cast("text", self.text.input.dtype, np.int64)
        return fed

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one image's part of each input whose first axis is the batch."""
        shapes = {noise.input.name: noise.shape for noise in self.noises}
        if self.label is not None:
            shapes[self.label.input.name] = self.label.shape
        shapes |= {one.input.name: one.shape for one in self.scalars if one.shape is not None}
        if self.text is not None:
            shapes[self.text.input.name] = (self.text.reading.length,)
        return shapes | {one.input.name: one.value.shape for one in self.constants if one.per_image}


def _inner(scalar: Scalar) -> tuple[int, ...] | None:
    """Of what is shared, its axes after the first; None: it has no axis at all."""
    return tuple(1 for _ in scalar.input.dims[1:]) if scalar.input.dims else None
