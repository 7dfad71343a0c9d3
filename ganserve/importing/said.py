"""What options of `ganserve import` say, as callbacks of click: in words of one line where they say nothing."""

import re
from pathlib import Path
from typing import Any

import click

_TYPES = ("float32", "int64", "int32")
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
        try:
            found[name] = np.load(value[1:], allow_pickle=False) if value.startswith("@") else float(value)
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"'{text}': {error}.") from error
    return found


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
        found[match[1]] = low, high, default
    return found


def classes(ctx: click.Context, option: click.Parameter, text: str | None) -> list[str] | int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and not Path(text).exists():
        return int(text)
    from service.generator.classes import text_of

    try:
        lines = text_of(Path(text).read_bytes()).splitlines()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{text} can't be read: {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def beside(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str | None]:
    found = {}
    for text in texts:
        name, _, role = text.rpartition("=") if text.endswith(("=z", "=logits")) else (text, "", "")
        found[name] = role or None
    return found


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
        found[name] = kind, _sides(sides) if sides else ()
    return found
