"""Outputs of a foreign graph: which of them is the picture, and what of the others is kept beside it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper

from ganserve.importing.surgery.nodes import Nodes, Signature, plain_name
from ganserve.importing.surgery.wishes import Fault, Wishes, printable
from service.generator.file.outputs import IMAGE, MOST_NUMBERS, Output

_PICTURE = re.compile(
    r"(^|[^a-z])(image|img|picture|rgb|sample|fake|generated|reconstruction|decoded?)s?([^a-z]|$)",
    re.IGNORECASE,
)
_LOGITS = re.compile(r"logit|prob|score|validity|class|cls|pred|aux|real", re.IGNORECASE)
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Further:
    """An output that is kept. shape: of one image's part."""

    output: Signature
    name: str
    role: Literal["z", "logits"]
    shape: tuple[int, ...]

    @property
    def declared(self) -> Output:
        return Output(self.name, self.role, list(self.shape))

    def add_to(self, nodes: Nodes, raw: str) -> None:
        """From the tensor `raw` to `name`."""
        nodes.add("Identity", nodes.cast(raw, np.dtype(np.float32), self.output.dtype), out=self.name)

    def info(self, batch: int | None) -> ValueInfoProto:
        return helper.make_tensor_value_info(self.name, TensorProto.FLOAT, [batch or "N", *self.shape])


def choose_output(outputs: Sequence[Signature], wishes: Wishes) -> Signature | Fault:
    """The output that holds the images: by its axes, by its name, by its colours, or as the largest of several sizes."""
    if wishes.output is not None:
        named = [one for one in outputs if one.name == wishes.output]
        if named:
            return named[0]
        shown = ", ".join(f"'{one.name}'" for one in outputs)
        return Fault(f"There is no output '{wishes.output}', only {shown}.", f"--output {outputs[0].name}")
    open_ = [one for one in outputs if one.name not in wishes.beside] or list(outputs)
    images = [one for one in open_ if _may_be_picture(one)] or [
        one for one in open_ if one.dims is None or len(one.dims) == 4
    ]
    left = images or open_
    narrower = (
        lambda one: _PICTURE.search(one.name),
        lambda one: 3 in _sides(one) or 4 in _sides(one),
        lambda one: _pixels(one) == max(map(_pixels, left)),
    )
    for fits in narrower:
        # By its axes alone a flat output is no picture.
        if len(left) > 1 and (images or fits is narrower[0]):
            left = [one for one in left if fits(one)] or left
    if len(left) == 1:
        return left[0]
    shown = "; ".join(map(str, left))
    return Fault(f"Several outputs could be the images: {shown}.", f"--output {left[0].name}")


def wanted(others: Sequence[Signature], wishes: Wishes) -> tuple[list[Signature], list[Fault]]:
    """Those that are to be kept, of all but the picture."""
    known = ", ".join(f"'{one.name}'" for one in others) or "none"
    faults = [
        Fault(
            f"There is no output '{name}' beside the picture; there are {known}.",
            "--beside NAME of one of them",
        )
        for name in wishes.beside
        if name not in {one.name for one in others}
    ]
    return [one for one in others if one.name in wishes.beside], faults


def kept(
    outputs: Sequence[Signature], runs: Mapping[int, Sequence[NDArray]], wishes: Wishes
) -> tuple[list[Further], list[Fault]]:
    """outputs: as `wanted` has them. runs: what they are for several numbers of images."""
    found: list[Further] = []
    faults: list[Fault] = []
    for place, one in enumerate(outputs):
        what, value = None, np.zeros(0)
        for count, values in runs.items():
            value = values[place]
            if value.ndim < 1 or len(value) != count:
                what = f"comes as {list(value.shape)} for {count} images: that is not one part an image"
        if what is None and (value.dtype.kind not in "fiub" or not np.isfinite(value.astype(float)).all()):
            what = "holds no finite numbers"
        elif what is None and value[0].size > MOST_NUMBERS:
            what = f"has {value[0].size:,} numbers an image; the service gives up to {MOST_NUMBERS:,}"
        if what is not None:
            faults.append(Fault(f"Output {one} {what}.", f"leave out --beside {one.name}"))
            continue
        taken = {IMAGE, "z", "label", *(other.name for other in found)}
        role = wishes.beside[one.name] or role_of(one)
        found.append(Further(one, plain_name(one.name, taken), role, value.shape[1:]))
    return found, faults


def role_of(one: Signature) -> Literal["z", "logits"]:
    """As its name has it; a point of a latent space, where that says nothing."""
    return "logits" if _LOGITS.search(one.name) else "z"


def said_of(outputs: Sequence[Signature], further: Sequence[Further]) -> list[str]:
    """A line for each. outputs: all but the picture."""
    names = {one.output.name: one for one in further}
    lines = []
    for one in outputs:
        if (taken := names.get(one.name)) is None:
            lines.append(f"output {one} is left out; `--beside {printable(one.name)}` keeps it")
        else:
            what = "a point of a latent space" if taken.role == "z" else "logits"
            lines.append(f"output {one} is {what}, which V2 gives to who names `{taken.name}`")
    return lines


def _sides(one: Signature) -> tuple[int | None, ...]:
    """Those that may be the channels."""
    return () if one.dims is None or len(one.dims) != 4 else (one.dims[1], one.dims[3])


def _may_be_picture(one: Signature) -> bool:
    return one.dims is None or (
        len(one.dims) == 4 and any(side in (None, *_CHANNELS) for side in _sides(one))
    )


def _pixels(one: Signature) -> int:
    """Of what is known of its axes."""
    return int(np.prod([axis or 1 for axis in (one.dims or ())[1:]]))
