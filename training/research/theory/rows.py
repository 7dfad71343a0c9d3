"""A claim, what was measured, and what is allowed: the rows of the tables of docs/theory.md."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from training.evaluation.report import table
from training.research.documents import number


@dataclass(frozen=True)
class Row:
    """A claim, and whether it came out: low <= measured <= high."""

    claim: str
    measured: float
    low: float
    high: float
    because: str
    """Where low and high come from."""

    @property
    def holds(self) -> bool:
        return self.low <= self.measured <= self.high

    @property
    def room(self) -> float:
        """How far inside the measured value lies, as a share of the bound; below 0 outside."""
        if math.isinf(self.measured):
            return math.inf if self.holds else -math.inf
        return min(self.measured - self.low, self.high - self.measured) / max(1e-300, self.high - self.low)


def about(claim: str, measured: float, expected: float, tolerance: float, because: str) -> Row:
    return Row(claim, measured, expected - tolerance, expected + tolerance, because)


def worst(rows_by_seed: list[list[Row]]) -> list[Row]:
    """Of each claim the row of the seed that comes nearest to its bound, or furthest beyond."""
    return [min(rows, key=lambda row: row.room) for rows in zip(*rows_by_seed, strict=True)]


def rows_table(rows: list[Row], seeds: int) -> str:
    cells = [[row.claim, number(row.measured), allowed(row), row.because] for row in rows]
    return table(["claim", f"measured, worst of {seeds} seeds", "allowed", "because"], cells, ["because"])


def allowed(row: Row) -> str:
    """`8 ± 0.00045`, or `0 to 0.026` where the bounds are wide."""
    if row.low == row.high:
        return number(row.low)
    if math.isinf(row.high):
        return f"at least {number(row.low)}"
    middle, half = (row.low + row.high) / 2, (row.high - row.low) / 2
    return (
        f"{number(middle)} ± {half:.2g}"
        if half < abs(middle) / 10
        else f"{number(row.low)} to {number(row.high)}"
    )


def rows_to_json(rows: list[Row]) -> list[dict[str, Any]]:
    """JSON has no infinity: it becomes a string."""
    return [
        {name: str(value) if value == math.inf else value for name, value in asdict(row).items()}
        for row in rows
    ]


def rows_from_json(rows: list[dict[str, Any]]) -> list[Row]:
    return [
        Row(row["claim"], float(row["measured"]), float(row["low"]), float(row["high"]), row["because"])
        for row in rows
    ]
