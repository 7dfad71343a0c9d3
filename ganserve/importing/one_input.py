"""One input and what is said of it -> what it is fed with, or why it can't be."""

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.feeds import Constant, Noise, Scalar, Text
from ganserve.importing.surgery.nodes import Signature
from ganserve.importing.surgery.wishes import Fault, Wishes
from service.generator.text.reading import Reading, pad_of


def as_text(one: Signature, wishes: Wishes) -> Text | Fault:
    if wishes.tokenizer is None:
        return Fault(
            f"What makes token ids of a text for input {one} is not known.", "--tokenizer tokenizer.json"
        )
    if len(one.dims or ()) != 2 or not np.issubdtype(one.dtype, np.integer):
        return Fault(
            f"Input {one} takes no token ids, whole numbers of [N, length].", "--text of another input"
        )
    own = sides_of(one)[0]
    (length, *rest) = wishes.text_shape or (own,)
    if length is None or rest or own not in (None, length):
        return Fault(f"How many tokens input {one} reads can't be seen.", f"--text {one.name}={own or 77}")
    reading = Reading(length, tokenizer=wishes.tokenizer, pad=pad_of(wishes.tokenizer))
    if found := reading.faults():
        return Fault(
            f"Input {one}: {found[0]}.", "--tokenizer tokenizer.json, of Hugging Face's `tokenizers`"
        )
    if reading.tokens - 1 > np.iinfo(one.dtype).max:
        what = f"Input {one} can't hold all ids of the tokenizer, up to {reading.tokens - 1:,}."
        return Fault(what, "Export it again with token ids of int64")
    return Text(one, reading)


def as_scalar(one: Signature, said: tuple[float, float, float]) -> Scalar | Fault:
    dims = one.dims or ()
    # Alone on its axis it may be one for all images, or, where that is open, one for each.
    is_shared = not dims or dims[0] == 1
    if any(axis not in (None, 1) for axis in dims[1:]) or not is_float(one):
        what = f"Input {one} is no scalar: a real number, or one per image."
        return Fault(what, f"--constant {one.name}=@FILE.npy")
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array(said, np.float32).astype(one.dtype)).all():
            most = float(np.finfo(one.dtype).max)
            what = f"--scalar {one.name} goes from {said[0]:g} to {said[1]:g}, and the input is {one}."
            return Fault(what, f"--scalar {one.name}=LOW..HIGH:DEFAULT, of numbers up to {most:g}")
    shape = None if is_shared else tuple(1 for _ in dims[1:])
    return Scalar(one, shape, *said)


def as_noise(z: Signature, wishes: Wishes | None) -> Noise | Fault:
    """wishes: of z itself; None for another input of noise."""
    shape = (wishes.z_shape if wishes else None) or sides_of(z)
    example = f"--z {z.name}={'x'.join(str(axis or 128) for axis in sides_of(z))}"
    if z.dims is None and not shape:
        return Fault(f"z is input {z}: how many numbers an image has can't be seen.", f"--z {z.name}=100x1x1")
    dims = (None,) * (1 + len(shape)) if z.dims is None else z.dims
    if len(dims) < 2:
        return Fault(f"z is input {z}: it has no batch axis.", "Export again with z of [N, z_dim].")
    if len(dims) == 2 and dims[0] not in (None, 1) and dims[1] is None:
        return Fault(
            f"z is input {z}: its open axis, the batch, is not the first.",
            f"Export again with z of [N, {dims[0]}].",
        )
    if not is_float(z):
        return Fault(f"z is input {z}: it does not hold real numbers.", "--z NAME of another input")
    known = tuple(axis for axis in shape if axis is not None)
    if len(known) < len(shape):
        return Fault(f"z is input {z}: how many numbers an image has can't be seen.", example)
    if len(known) != len(dims) - 1 or any(
        own not in (None, axis) for own, axis in zip(dims[1:], known, strict=True)
    ):
        return Fault(f"z is input {z}, and --z says {'x'.join(map(str, known))} per image.", example)
    if wishes is None:
        return Noise(z, known)
    return Noise(z, known, wishes.law, wishes.scale)


def as_constant(one: Signature, value: float | NDArray, z: Signature | None) -> Constant | Fault:
    array = np.asarray(value)
    dims = one.dims or ()
    # An open first axis is the batch, as z's is; of a fixed one the whole tensor is the constant.
    per_image = len(dims) > 0 and dims[0] is None and (z is None or z.dims is None or z.dims[0] is None)
    shape = dims[1:] if per_image else dims
    if array.ndim == 0 and None not in shape:
        array = np.full(tuple(axis or 0 for axis in shape), array)
    fits = len(array.shape) == len(shape) and all(
        own in (None, axis) for own, axis in zip(shape, array.shape, strict=True)
    )
    if not fits:
        return Fault(
            f"--constant {one.name} has the shape {list(array.shape)}, and the input is {one}.",
            f"--constant {one.name}=@FILE.npy, of the input's shape{' without the batch' if per_image else ''}",
        )
    with np.errstate(all="ignore"):
        kept = array.astype(one.dtype)
        # Of real numbers a type may have fewer digits, but no other size; and of NaN no picture is made.
        same = np.isclose(kept, array, rtol=1e-3, atol=0) if is_float(one) else kept == array
    if not same.all():
        was, becomes = array[~same].flat[0], kept[~same].flat[0]
        what = f"--constant {one.name}: the input is {one}, in which {was!s} is {becomes!s}."
        return Fault(what, f"--constant {one.name}=VALUE, or @FILE.npy, that {one.dtype} can hold")
    return Constant(one, kept, per_image)


def sides_of(one: Signature) -> tuple[int | None, ...]:
    return () if not one.dims else one.dims[1:]


def is_float(one: Signature) -> bool:
    return np.issubdtype(one.dtype, np.floating)
