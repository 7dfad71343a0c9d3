"""The recipes by name: one row each, holding what differs from the defaults of settings.py."""

from typing import Any

from training.errors import UserError
from training.settings import Settings

PRESETS: dict[str, dict[str, Any]] = {
    # The shipped recipe: non-saturating loss, exact R1 every 8 updates, one high learning rate.
    "ns-r1": {"network": "residual", "width": 32, "attention": True, "loss": "non_saturating", "d_steps": 1,
              "r1_gamma": 0.2, "r1_gamma_end": 0.04, "r1_every": 8,
              "lr_g": 1e-3, "lr_d": 1e-3, "beta1": 0.0, "beta2": 0.99, "batch": 32},
}  # fmt: skip


def settings_of(preset: str, **changes: Any) -> Settings:
    """The preset's row with these values changed. Raises UserError."""
    if preset not in PRESETS:
        raise UserError(f"unknown preset '{preset}': choose from {', '.join(PRESETS)}")
    values: dict[str, Any] = {"preset": preset} | PRESETS[preset] | changes
    return Settings(**values)
