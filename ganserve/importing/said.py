"""What options of `ganserve import` say, as callbacks of click: in words of one line where they say nothing."""

import math
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

import click

_MOST = 3.4028235e38
_TYPES = ("float32", "int64", "int32")
_RANGE = re.compile(r"([-+.\deE]+?)\.\.([-+.\deE]+)", re.ASCII)
_SCALAR = re.compile(r"(.+)=([-+.\deE]+?)\.\.([-+.\deE]+):([-+.\deE]+)", re.ASCII)


def _sides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in re.split(r"[x,]", text))
    except ValueError:
        raise click.BadParameter(f"'{text}' is no shape: write 100x1x1.") from None


def z(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> tuple[str | None, tuple[int, ...] | None]:
    name, is_given, shape = (text or "").rpartition("=") if "=" in (text or "") else (text or "", "", "")
    return name or None, _sides(shape) if is_given else None


def constants(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    import numpy as np

    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name:
            raise click.BadParameter(f"'{text}': write NAME=0.7, or NAME=@FILE.npy.")
        _once(name, found)
        if not value.startswith("@"):
            found[name] = _number(value)
            if found[name] is None:
                raise click.BadParameter(f"'{text}': write a finite number, or NAME=@FILE.npy.")
            continue
        try:
            with Path(value[1:]).open("rb") as file:
                found[name] = np.load(file, allow_pickle=False)
        except Exception as error:  # of a file that is none of NumPy's, whatever it raises
            raise click.BadParameter(f"'{text}': {error}.") from error
        if not isinstance(found[name], np.ndarray) or found[name].dtype.kind not in "biuf":
            raise click.BadParameter(f"'{text}' holds no array of numbers: write one by numpy.save.")
    return found


def _number(text: str) -> int | float | None:
    """Whole ones of 64 bits stay what they are; None: it is none, or not finite."""
    try:
        number = int(text) if text.lstrip("-").isdecimal() else float(text)
        if isinstance(number, int) and not -(2**63) <= number < 2**64:
            number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _once(name: str, found: Container[str]) -> None:
    if name in found:
        raise click.BadParameter(f"'{name}' is given twice.")


def scalars(
    ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[float, float, float]]:
    found = {}
    for text in texts:
        match = _SCALAR.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            low, high, default = map(float, match.groups()[1:])
        except ValueError:
            raise click.BadParameter(f"'{text}': write NAME=LOW..HIGH:DEFAULT, as psi=0..1:0.7.") from None
        if not low <= default <= high:
            raise click.BadParameter(f"'{text}': the default must be in the range.")
        if max(-low, high) > _MOST:
            raise click.BadParameter(f"'{text}': numbers of float32 go to {_MOST:g}.")
        _once(match[1], found)
        found[match[1]] = low, high, default
    return found


def classes(ctx: click.Context, option: click.Parameter, text: str | None) -> list[str] | int | None:
    if text is None:
        return None
    is_long = len(text) > 18  # more than any file of names is called, or than a path may be
    if text.isascii() and text.isdigit() and (is_long or not Path(text).exists()):
        if is_long or not int(text):
            raise click.BadParameter(f"{text[:18]}: a generator has 1 class or more, and not that many.")
        return int(text)
    from service.generator.classes import text_of

    try:
        lines = text_of(Path(text).read_bytes()).splitlines()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{text} can't be read: {error}.") from error
    if not (names := [line.strip() for line in lines if line.strip()]):
        raise click.BadParameter(f"{text} has no name: write one per line.")
    return names


def beside(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str | None]:
    found = {}
    for text in texts:
        name, _, role = text.rpartition("=") if text.endswith(("=z", "=logits")) else (text, "", "")
        _once(name, found)
        found[name] = role or None
    return found


def range_(ctx: click.Context, option: click.Parameter, text: str | None) -> str | None:
    import numpy as np

    if text is None:
        return None
    match = _RANGE.fullmatch(text)
    try:
        black, white = (float(end) for end in match.groups()) if match else (0.0, 0.0)
    except ValueError:
        black = white = 0.0
    with np.errstate(all="ignore"):
        width = np.float32(white) - np.float32(black)
        if not (width > 0 and np.isfinite([width, np.float32(255) / width]).all()):
            raise click.BadParameter(f"'{text}': write LOW..HIGH, black and white, as -1..1 or 0..4095.")
    return text


def image(ctx: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    sides = None if text is None else _sides(text)
    if sides is not None and len(sides) != 3:
        raise click.BadParameter(f"'{text}': write CHANNELSxHEIGHTxWIDTH, as 3x64x64.")
    return sides


def input_shapes(
    ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {}
    for text in texts:
        name, is_given, shape = text.partition("=")
        kind, _, sides = shape.rpartition(":") if ":" in shape else ("float32", "", shape)
        if shape in _TYPES:
            kind, sides = shape, ""
        if not is_given or kind not in _TYPES:
            raise click.BadParameter(f"'{text}': write z=100x1x1, label=int64, or NAME=int64:3.")
        _once(name, found)
        found[name] = kind, _sides(sides) if sides else ()
    return found
