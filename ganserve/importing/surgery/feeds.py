"""From the contract's (z, label) to what a foreign graph is fed: in NumPy, and the same as nodes of a graph.

In NumPy the original is asked for the golden samples, so a mistake in the nodes shows as another picture.
"""

import math
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.nodes import Nodes, Signature

LAWS = {
    "normal": "standard normal",
    "uniform": "uniform in -1 to 1",
    "uniform01": "uniform in 0 to 1",
    "truncated": "standard normal within -2 to 2",
}
_WITHIN_2 = math.erf(math.sqrt(2))
# Giles 2012, "Approximating the erfinv function", the polynomial of single precision for w < 5; here w < 2.5.
_ERFINV = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)


def under_law(z: NDArray[np.float32], law: str) -> NDArray[np.float32]:
    """z, standard normal, as numbers of another law with the same order. float32 of the same shape."""
    if law == "normal":
        return z
    erf = np.array([math.erf(value / math.sqrt(2)) for value in z.ravel().tolist()]).reshape(z.shape)
    if law == "truncated":
        inverse = NormalDist().inv_cdf
        share = (1 + _WITHIN_2 * erf) / 2
        return np.array([inverse(one) for one in share.ravel().tolist()], np.float32).reshape(z.shape)
    return (erf if law == "uniform" else (1 + erf) / 2).astype(np.float32)


def law_nodes(nodes: Nodes, z: str, law: str) -> str:
    """The same as nodes."""
    if law == "normal":
        return z
    erf = nodes.add("Erf", nodes.add("Mul", z, nodes.constant(math.sqrt(0.5))))
    if law == "uniform":
        return erf
    if law == "uniform01":
        half = nodes.constant(0.5)
        return nodes.add("Add", nodes.add("Mul", erf, half), half)
    x = nodes.add("Mul", erf, nodes.constant(_WITHIN_2))
    rest = nodes.add("Sub", nodes.constant(1), nodes.add("Mul", x, x))
    w = nodes.add("Sub", nodes.constant(-2.5), nodes.add("Log", rest))
    p = nodes.constant(_ERFINV[0])
    for factor in _ERFINV[1:]:
        p = nodes.add("Add", nodes.add("Mul", p, w), nodes.constant(factor))
    return nodes.add("Mul", nodes.add("Mul", p, x), nodes.constant(math.sqrt(2)))


@dataclass(frozen=True)
class Noise:
    """An input that takes numbers of z: z itself, or what random operators drew. shape: of one image's.

    The graph gets scale * number + shift.
    """

    input: Signature
    shape: tuple[int, ...]
    law: str = "normal"
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


@dataclass(frozen=True)
class Constant:
    """An input that keeps one value. per_image: its first axis is the batch."""

    input: Signature
    value: NDArray
    per_image: bool


@dataclass(frozen=True)
class Feeds:
    """All inputs of a foreign graph. noises: z's own first."""

    noises: list[Noise]
    label: Label | None = None
    constants: list[Constant] = field(default_factory=list)

    @property
    def z_dim(self) -> int:
        return sum(noise.size for noise in self.noises)

    def arrays(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> dict[str, NDArray]:
        """z: float32 [N, z_dim]; label: int64 [N]. Returns what the original is fed, by input."""
        fed, begin, count = {}, 0, len(z)
        for noise in self.noises:
            part = under_law(z[:, begin : begin + noise.size], noise.law)
            begin += noise.size
            part = part * np.float32(noise.scale) + np.float32(noise.shift)
            fed[noise.input.name] = part.reshape(count, *noise.shape).astype(noise.input.dtype)
        if self.label is not None and label is not None:
            one, dtype = self.label, self.label.input.dtype
            rows = np.eye(one.rows, dtype=dtype)[label] if one.one_hot and one.rows else label.astype(dtype)
            fed[one.input.name] = rows.reshape(count, *one.shape)
        for constant in self.constants:
            value = constant.value
            fed[constant.input.name] = np.repeat(value[None], count, 0) if constant.per_image else value
        return fed

    def add_to(self, nodes: Nodes) -> dict[str, str]:
        """The same, from `z` and `label`, as nodes. Returns the name of what each input gets."""
        begin, fed = 0, {}
        for noise in self.noises:
            part = "z"
            if len(self.noises) > 1:
                ends = nodes.integers(begin), nodes.integers(begin + noise.size), nodes.integers(1)
                part = nodes.add("Slice", "z", *ends)
            begin += noise.size
            part = law_nodes(nodes, part, noise.law)
            if noise.scale != 1 or noise.shift != 0:
                part = nodes.add("Mul", part, nodes.constant(noise.scale))
                part = nodes.add("Add", part, nodes.constant(noise.shift))
            if len(noise.shape) != 1:
                part = nodes.add("Reshape", part, nodes.integers(-1, *noise.shape))
            fed[noise.input.name] = nodes.cast(part, noise.input.dtype, np.float32)
        if self.label is not None:
            part, one = "label", self.label
            if one.one_hot:
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
        return fed

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one image's part of each input whose first axis is the batch."""
        shapes = {noise.input.name: noise.shape for noise in self.noises}
        if self.label is not None:
            shapes[self.label.input.name] = self.label.shape
        return shapes | {one.input.name: one.value.shape for one in self.constants if one.per_image}
