"""Which input is what: proposed from names, types and shapes, asked for where they do not say it."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.feeds import Constant, Feeds, Label, Noise, Scalar, Text
from ganserve.importing.surgery.nodes import Signature
from ganserve.importing.surgery.wishes import Fault, Wishes
from service.generator.contract import MOST_Z, SCHEMA_OF_ROLES
from service.generator.text.reading import Reading, pad_of

_Z = re.compile(
    r"(^|[^a-z])(z|zs|latents?|latent_(vector|code|input)|noises?|noise_input)([^a-z]|$)", re.IGNORECASE
)
_LABEL = re.compile(
    r"(^|[^a-z])(y|c|label|labels|class(es)?|cond(ition)?|one_?hot|class_(label|vector|id)s?)([^a-z]|$)",
    re.IGNORECASE,
)
_GIVEN = re.compile(
    r"image|img|photo|picture|pixel|(^|[^a-z])(lr|lq|low_?res\w*|src|source|content|mask|sketch|frames?)([^a-z]|$)",
    re.IGNORECASE,
)
_EXAMPLES = {
    "trunc": "0.7",
    "psi": "0.7",
    "train": "0",
    "avg": "@w_avg.npy",
    "strength": "1",
    "scale": "1",
    "time": "999",
    "step": "999",
}


def find_roles(inputs: Sequence[Signature], wishes: Wishes) -> tuple[Feeds | None, list[Fault]]:
    """What each input is fed with; None where z is not known."""
    by_name = {one.name: one for one in inputs}
    named = (
        *(("--z", wishes.z), ("--label", wishes.label), ("--text", wishes.text)),
        *(("--constant", name) for name in wishes.constants),
        *(("--scalar", name) for name in wishes.scalars),
        *(("--drawn", name) for name in wishes.drawn),
    )
    faults = [
        Fault(
            f"There is no input '{name}': the file has {'; '.join(map(str, inputs)) or 'none'}.",
            f"{option} NAME of one of them",
        )
        for option, name in named
        if name is not None and name not in by_name
    ]
    for name in by_name:
        if len(options := [option for option, other in named if other == name]) > 1:
            what = f"Input '{name}' is given by {' and by '.join(options)}: it can be one thing only."
            faults.append(Fault(what, f"{options[0]}, or {options[1]}"))
    text = _text(by_name[wishes.text], wishes) if wishes.text in by_name else None
    faults += [text] if isinstance(text, Fault) else []
    said = {*wishes.constants, *wishes.scalars, *wishes.drawn, wishes.text}
    open_ = [one for one in inputs if one.name not in said]
    z = _z_of(open_, wishes)
    if isinstance(z, Fault):
        faults.append(z)
    rest = [one for one in open_ if not isinstance(z, Signature) or one.name != z.name]
    label = _label_of(rest, wishes, isinstance(z, Signature))
    constants: list[Constant] = []
    scalars: list[Scalar] = []
    noises: list[Noise] = []
    for one in inputs:
        if one.name == wishes.text:
            continue
        if one.name in wishes.scalars:
            scalar = _scalar(one, wishes.scalars[one.name])
            faults += [scalar] if isinstance(scalar, Fault) else []
            scalars += [] if isinstance(scalar, Fault) else [scalar]
            continue
        if one.name in wishes.drawn:
            noise = _noise(one, None)
            faults += [noise] if isinstance(noise, Fault) else []
            noises += [] if isinstance(noise, Fault) else [noise]
            continue
        if one.name in wishes.constants:
            constant = _constant(one, wishes.constants[one.name], z if isinstance(z, Signature) else None)
            if isinstance(constant, Fault):
                faults.append(constant)
            else:
                constants.append(constant)
        elif one in rest and (label is None or label.input.name != one.name):
            if one.dims is not None and 0 in one.dims:
                # StyleGAN's labels where there are no classes: rows of no numbers.
                per_image = one.dims[0] is None
                shape = tuple(axis or 0 for axis in one.dims[per_image:])
                constants.append(Constant(one, np.zeros(shape, one.dtype), per_image))
            elif isinstance(z, Signature):
                faults.append(_unknown(one, label))
                # To look at the output meanwhile.
                if isinstance(guess := _constant(one, 1.0, z), Constant):
                    constants.append(guess)
    if not isinstance(z, Signature):
        return None, faults
    noise = _noise(z, wishes)
    if isinstance(noise, Fault):
        return None, [*faults, noise]
    if (size := noise.size + sum(one.size for one in noises)) > MOST_Z[SCHEMA_OF_ROLES]:
        what = f"z has {size:,} numbers per image; the service has up to {MOST_Z[SCHEMA_OF_ROLES]:,}."
        faults.append(Fault(what, "--constant for an input of noise, or a smaller generator"))
    read = text if isinstance(text, Text) else None
    return Feeds([noise, *noises], label, constants, scalars, read), faults


def _text(one: Signature, wishes: Wishes) -> Text | Fault:
    if wishes.tokenizer is None:
        return Fault(
            f"What makes token ids of a text for input {one} is not known.", "--tokenizer tokenizer.json"
        )
    if len(one.dims or ()) != 2 or not np.issubdtype(one.dtype, np.integer):
        return Fault(
            f"Input {one} takes no token ids, whole numbers of [N, length].", "--text of another input"
        )
    own = _per_image(one)[0]
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


def _per_image(one: Signature) -> tuple[int | None, ...]:
    return () if not one.dims else one.dims[1:]


def _is_wide(one: Signature) -> bool:
    """Whether an image gets more than one number."""
    return one.dims is None or any(axis is None or axis > 1 for axis in _per_image(one))


def _is_float(one: Signature) -> bool:
    return np.issubdtype(one.dtype, np.floating)


def _z_of(inputs: Sequence[Signature], wishes: Wishes) -> Signature | Fault:
    if wishes.z is not None:
        return next((one for one in inputs if one.name == wishes.z), Fault("z is not known.", "--z NAME"))
    wide = [one for one in inputs if _is_float(one) and _is_wide(one) and one.name != wishes.label]
    named = [one for one in wide if _Z.search(one.name)]
    if len(wide) > 1 and not named:
        # What is called a label is none, where something else is left.
        named = [one for one in wide if not _LABEL.search(one.name)]
    found = wide if len(wide) == 1 else named
    if not wide:
        # One that has no batch axis is z, too, of which that is said then.
        found = [one for one in inputs if _is_float(one) and _Z.search(one.name) and one.dims and one.dims[0]]
    if len(found) == 1:
        return found[0]
    if inputs and not any(_is_float(one) and 0 not in (one.dims or ()) for one in inputs):
        return Fault(
            f"No input could be z, which is float32 [N, z_dim]; there are: {'; '.join(map(str, inputs))}.",
            "Export the generator with z as its input, in real numbers.",
        )
    if not inputs:
        return Fault(
            "No input is left that could be z: every image would be the same.",
            "Export the generator with z as its input.",
        )
    shown = "; ".join(map(str, inputs))
    example = f"--z {(found or wide or inputs)[0].name}"
    if more := " ".join(f"--drawn {one.name}" for one in (found or wide)[1:]):
        example += f"; and {more}, if noise goes there, too, as where z is split"
    return Fault(f"Which input is z can't be seen; there are: {shown}.", example)


def given_picture(z: Noise, shape: tuple[int, ...]) -> list[Fault]:
    """Whether what was taken for z, since nothing else is there, may be a picture that is given. shape: of one image's output."""
    own, name = z.shape, z.input.name
    is_one = len(own) == 3 and any(
        channels in (1, 3, 4) and min(sides) > 1
        for channels, sides in ((own[0], own[1:]), (own[-1], own[:-1]))
    )
    # As libraries of diffusion call their noise.
    if (
        _Z.search(name)
        or name == "sample"
        or len(shape) < 2
        or not (is_one or own == shape or _GIVEN.search(name))
    ):
        return []
    what = f"Input {z.input} may be a picture that the network is given: z is drawn, and makes pictures of nothing else."
    return [Fault(what, f"--z {name}, if noise goes there; else give a generator's file")]


def _label_of(rest: Sequence[Signature], wishes: Wishes, z_is_known: bool) -> Label | None:
    if wishes.label is not None:
        found = [one for one in rest if one.name == wishes.label]
    else:
        found = [one for one in rest if _LABEL.search(one.name) and 0 not in (one.dims or ())]
        if not found and z_is_known:
            found = [
                one for one in rest if np.issubdtype(one.dtype, np.integer) and one.dims and not _is_wide(one)
            ]
    if len(found) != 1:
        return None
    one = found[0]
    shape = _per_image(one)
    if any(axis is None for axis in shape):
        return None
    known = tuple(axis or 1 for axis in shape)
    size = int(np.prod(known))
    if size == 1:
        return Label(one, known, one_hot=False, rows=None)
    return Label(one, known, one_hot=True, rows=size)


def _scalar(one: Signature, said: tuple[float, float, float]) -> Scalar | Fault:
    dims = one.dims or ()
    # Alone on its axis it may be one for all images, or, where that is open, one for each.
    is_shared = not dims or dims[0] == 1
    if any(axis not in (None, 1) for axis in dims[1:]) or not _is_float(one):
        what = f"Input {one} is no scalar: a real number, or one per image."
        return Fault(what, f"--constant {one.name}=@FILE.npy")
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array(said, np.float32).astype(one.dtype)).all():
            most = float(np.finfo(one.dtype).max)
            what = f"--scalar {one.name} goes from {said[0]:g} to {said[1]:g}, and the input is {one}."
            return Fault(what, f"--scalar {one.name}=LOW..HIGH:DEFAULT, of numbers up to {most:g}")
    shape = None if is_shared else tuple(1 for _ in dims[1:])
    return Scalar(one, shape, *said)


def _noise(z: Signature, wishes: Wishes | None) -> Noise | Fault:
    """wishes: of z itself; None for another input of noise."""
    shape = (wishes.z_shape if wishes else None) or _per_image(z)
    example = f"--z {z.name}={'x'.join(str(axis or 128) for axis in _per_image(z))}"
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
    if not _is_float(z):
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


def _constant(one: Signature, value: float | NDArray, z: Signature | None) -> Constant | Fault:
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
        same = np.isclose(kept, array, rtol=1e-3, atol=0) if _is_float(one) else kept == array
    if not same.all():
        was, becomes = array[~same].flat[0], kept[~same].flat[0]
        what = f"--constant {one.name}: the input is {one}, in which {was!s} is {becomes!s}."
        return Fault(what, f"--constant {one.name}=VALUE, or @FILE.npy, that {one.dtype} can hold")
    return Constant(one, kept, per_image)


def constant_of(one: Signature) -> str:
    """The option that makes it one, with what such an input mostly is."""
    lower = one.name.lower()
    return f"--constant {one.name}={next((value for part, value in _EXAMPLES.items() if part in lower), '1')}"


def _unknown(one: Signature, label: Label | None) -> Fault:
    constant = constant_of(one)
    value = constant.rpartition("=")[2]
    if label is None:
        value = "0" if _is_wide(one) else value
        constant = f"--constant {one.name}={value}, if it stays the same"
        if one.dims != () and one.dtype != np.bool_:
            constant = f"--label {one.name}, if it takes the class; {constant}"
    if _is_float(one):
        more = f"--drawn {one.name}, if it is noise" if _is_wide(one) else f"--scalar {one.name}=0..1:{value}"
        constant += f"; {more}" + ("" if _is_wide(one) else ", if requests may choose it")
    return Fault(f"Input {one} is neither z nor the label: which value does it keep?", constant)
