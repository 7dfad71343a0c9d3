"""What a request has in it, as JSON takes it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def given(**fields: Any) -> dict[str, Any]:
    """Those that are not None: the others are the server's choice."""
    return {name: value for name, value in fields.items() if value is not None}


def part_of(value: Any, begin: int, size: int) -> Any:
    if isinstance(value, dict):
        return {name: part_of(one, begin, size) for name, one in value.items()}
    return value[begin : begin + size] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Labels and seeds as JSON has them, NumPy's included: one, or a list."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return value.item() if isinstance(value, np.generic) else [plain(one) for one in value]


def checked_z(z: ArrayLike) -> NDArray[np.float64]:
    """z as float64 [n, z_dim]; one row may come without its n. Raises ValueError."""
    rows = np.asarray(z)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or not len(rows) or rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise ValueError(f"z is {rows.dtype} {list(rows.shape)}: it must be finite numbers [n, z_dim].")
    return rows.astype(np.float64)
