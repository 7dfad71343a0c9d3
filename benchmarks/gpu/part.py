"""What every part does: rows that are on disk before the next is measured, checks, and the time that is left."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.card import Card


@dataclass
class Part:
    """One part of the measurement. card: None where the CPU stands in for it."""

    name: str
    folder: Path
    seconds: float
    card: Card | None = None
    begun: float = field(default_factory=time.monotonic)
    rows: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def device(self) -> str:
        return "cuda" if self.card else "cpu"

    @property
    def precisions(self) -> tuple[str, ...]:
        """On the CPU provider TF32 is nothing, and fp16 is rounding: operators run in fp32."""
        return ("fp32", "tf32", "fp16") if self.card else ("fp32", "fp16")

    @property
    def failed(self) -> list[str]:
        return [check["name"] for check in self.checks if not check["holds"]]

    def left(self) -> float:
        """Seconds until this part must be done."""
        return self.begun + self.seconds - time.monotonic()

    def row(self, what: str, **figures: Any) -> None:
        self.rows.append({"what": what, **figures})
        told = ", ".join(f"{name} {_short(value)}" for name, value in figures.items() if value is not None)
        self._tell(f"{what}: {told}")

    def check(self, name: str, holds: bool, text: str) -> None:
        self.checks.append({"name": name, "holds": bool(holds), "text": text})
        self._tell(f"{'ok' if holds else 'FAILED'}: {name}: {text}")

    def leave_out(self, text: str) -> None:
        """Say what is not measured, and why."""
        self.left_out.append(text)
        self._tell(f"left out: {text}")

    def has_time(self, what: str, seconds: float) -> bool:
        """Whether so many are left; if not, it is said."""
        if self.left() < seconds:
            self.leave_out(f"{what}: no time left")
        return self.left() >= seconds

    def _tell(self, line: str) -> None:
        print(f"[{self.name}] {line}", flush=True)
        seen = {
            "part": self.name,
            "device": self.device,
            "seconds": round(time.monotonic() - self.begun, 2),
            "checks": self.checks,
            "rows": self.rows,
            "left_out": self.left_out,
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
        new.replace(self.path)


def _short(value: Any) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
