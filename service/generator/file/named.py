"""What a request chooses by name, and how an image's row of numbers has it: scalars, each with its default, and codes of z."""

from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidField
from service.generator.file.inputs import ROLES, Input, scalars_of, text_of, weights_of


def chosen_by_name(inputs: Sequence[Input]) -> dict[str, tuple[Input, int]]:
    """Codes and scalars: what a request chooses by name, and the column of each in an image's row."""
    found, begin = {}, 0
    for one in inputs:
        if one.role == "code":
            found[one.name] = one, begin
        begin += one.size if ROLES[one.role].is_z else 0
    return found | {one.name: (one, begin + i) for i, one in enumerate(scalars_of(inputs))}


def rows_behind(
    inputs: Sequence[Input],
    given: dict[str, float | list[float]] | None,
    n: int,
    weights: NDArray[np.float32] | None = None,
    texts: Sequence[str] | None = None,
) -> NDArray[np.float32] | None:
    """What an image's row has behind z: float32 [n, count_behind]; None where that is nothing.

    weights: over the classes, float32 [n, K], where a file takes them; without any, or 0 for all of them, the label counts.
    texts: n of them, where a file takes them; by default empty ones. Raises InvalidField, as scalar_rows, and of texts.
    """
    parts = [scalar_rows(inputs, given, n)]
    if count := weights_of(inputs):
        parts.append(np.zeros((n, count), np.float32) if weights is None else weights)
    if reads := text_of(inputs):
        parts.append(reads.reading.ids(texts, n))
    elif texts is not None:
        raise InvalidField(
            "text", "This model reads no text: only those do whose card has an input of the role text."
        )
    there = [part for part in parts if part is not None]
    return np.concatenate(there, axis=1) if len(there) > 1 else (there or [None])[0]


def scalar_rows(
    inputs: Sequence[Input], given: dict[str, float | list[float]] | None, n: int
) -> NDArray[np.float32] | None:
    """float32 [n, scalars]; None where there is none. What is not given is its default.

    Raises InvalidField: a name that is none, another number of them than n, or what is out of range.
    """
    if given and (unknown := set(given) - set(named := chosen_by_name(inputs))):
        known = ", ".join(with_range(one) for one, _ in named.values()) or "none: this model has none"
        raise InvalidField("scalars", f"There is no scalar '{min(unknown)[:64]}'; there are {known}.")
    scalars = scalars_of(inputs)
    if not scalars:
        return None
    columns = [_column(one, (given or {}).get(one.name, one.bounds[2]), n) for one in scalars]
    return np.stack(columns, axis=1).astype(np.float32)


def code_rows(
    inputs: Sequence[Input], given: dict[str, float | list[float]] | None, n: int
) -> NDArray[np.float32] | None:
    """float32 [n, z_dim], NaN where the seed decides; None where no code is given.

    Raises InvalidField: another number of them than n, or what is out of range.
    """
    if not given:
        return None
    asked = [
        (place, _column(one, given[name], n))
        for name, (one, place) in chosen_by_name(inputs).items()
        if one.role == "code" and name in given
    ]
    if not asked:
        return None
    rows = np.full((n, sum(one.size for one in inputs if ROLES[one.role].is_z)), np.nan, np.float32)
    for place, column in asked:
        rows[:, place] = column
    return rows


def _column(one: Input, value: float | list[float], n: int) -> NDArray[np.float64]:
    """[n], in range; of a code NaN is as the seed draws it. Raises InvalidField."""
    if isinstance(value, list) and len(value) != n:
        raise InvalidField(
            "scalars", f"scalars.{one.name} has {len(value)} entries for {n} images: they must agree."
        )
    column = np.broadcast_to(np.array(value, np.float64), n)
    assert one.low is not None
    assert one.high is not None
    may_be = (column >= one.low) & (column <= one.high)  # NaN neither
    if one.role == "code":
        may_be = np.isnan(column) | (may_be & ((one.law != "whole") | (column % 1 == 0)))
    if not may_be.all():
        raise InvalidField("scalars", f"scalars.{one.name} is out of range: allowed is {with_range(one)}.")
    return column


def written(
    inputs: Sequence[Input], given: dict[str, float | list[float]] | None, image: int, text: str = ""
) -> list[str]:
    """As the query of that image's address has them: `psi=0.5`, in their order, without those that are the default anyway.

    text: of the image, percent-encoded there.
    """
    fields = [f"text={quote(text, safe='')}"] if text else []
    for one, _ in chosen_by_name(inputs).values():
        value = (given or {}).get(one.name, one.default)
        if value is None:  # a code, of the seed
            continue
        value = float(value[image] if isinstance(value, list) else value)
        if value != one.default:
            fields.append(f"{one.name}={value!r}")
    return fields


def with_range(scalar: Input) -> str:
    numbers = "whole, " if scalar.law == "whole" else ""
    usual = "as the seed draws it" if scalar.default is None else f"{scalar.default:g}"
    return f"{scalar.name} ({numbers}{scalar.low:g} to {scalar.high:g}, by default {usual})"
