"""Which input is what: proposed from names, types and shapes, asked for where they do not say it."""

import re
from collections.abc import Sequence

import numpy as np

from ganserve.importing.one_input import as_constant, as_noise, as_scalar, as_text, is_float, sides_of
from ganserve.importing.surgery.feeds import Constant, Feeds, Label, Noise, Scalar, Text
from ganserve.importing.surgery.nodes import Signature
from ganserve.importing.surgery.wishes import Fault, Wishes
from service.generator.contract import MOST_Z, SCHEMA_OF_ROLES

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
            faults.append(Fault(what, f"leave out all but one: {options[0]}, or {options[-1]}"))
    text = as_text(by_name[wishes.text], wishes) if wishes.text in by_name else None
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
            scalar = as_scalar(one, wishes.scalars[one.name])
            faults += [scalar] if isinstance(scalar, Fault) else []
            scalars += [] if isinstance(scalar, Fault) else [scalar]
            continue
        if one.name in wishes.drawn:
            noise = as_noise(one, None)
            faults += [noise] if isinstance(noise, Fault) else []
            noises += [] if isinstance(noise, Fault) else [noise]
            continue
        if one.name in wishes.constants:
            constant = as_constant(one, wishes.constants[one.name], z if isinstance(z, Signature) else None)
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
                if isinstance(guess := as_constant(one, 1.0, z), Constant):
                    constants.append(guess)
    if not isinstance(z, Signature):
        return None, faults
    noise = as_noise(z, wishes)
    if isinstance(noise, Fault):
        return None, [*faults, noise]
    if (size := noise.size + sum(one.size for one in noises)) > MOST_Z[SCHEMA_OF_ROLES]:
        what = f"z has {size:,} numbers per image; the service has up to {MOST_Z[SCHEMA_OF_ROLES]:,}."
        faults.append(Fault(what, "--constant for an input of noise, or a smaller generator"))
    read = text if isinstance(text, Text) else None
    return Feeds([noise, *noises], label, constants, scalars, read), faults


def _is_wide(one: Signature) -> bool:
    """Whether an image gets more than one number."""
    return one.dims is None or any(axis is None or axis > 1 for axis in sides_of(one))


def _z_of(inputs: Sequence[Signature], wishes: Wishes) -> Signature | Fault:
    if wishes.z is not None:
        return next((one for one in inputs if one.name == wishes.z), Fault("z is not known.", "--z NAME"))
    wide = [one for one in inputs if is_float(one) and _is_wide(one) and one.name != wishes.label]
    named = [one for one in wide if _Z.search(one.name)]
    if len(wide) > 1 and not named:
        # What is called a label is none, where something else is left.
        named = [one for one in wide if not _LABEL.search(one.name)]
    found = wide if len(wide) == 1 else named
    if not wide:
        # One that has no batch axis is z, too, of which that is said then.
        found = [one for one in inputs if is_float(one) and _Z.search(one.name) and one.dims and one.dims[0]]
    if len(found) == 1:
        return found[0]
    if inputs and not any(is_float(one) and 0 not in (one.dims or ()) for one in inputs):
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
    shape = sides_of(one)
    if any(axis is None for axis in shape):
        return None
    known = tuple(axis or 1 for axis in shape)
    size = int(np.prod(known))
    if size == 1:
        return Label(one, known, one_hot=False, rows=None)
    return Label(one, known, one_hot=True, rows=size)


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
    if is_float(one):
        more = f"--drawn {one.name}, if it is noise" if _is_wide(one) else f"--scalar {one.name}=0..1:{value}"
        constant += f"; {more}" + ("" if _is_wide(one) else ", if requests may choose it")
    return Fault(f"Input {one} is neither z nor the label: which value does it keep?", constant)
