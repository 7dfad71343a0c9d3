"""The recipes by name: one row each, holding what differs from the defaults of settings.py."""

from typing import Any

from training.augment import parse
from training.errors import UserError
from training.losses import LOSSES
from training.networks import NETWORKS
from training.settings import Settings

PRESETS: dict[str, dict[str, Any]] = {
    # The shipped recipe: non-saturating loss, exact R1 every 8 updates, one high learning rate.
    "ns-r1": {"network": "residual", "width": 32, "attention": True, "loss": "non_saturating", "d_steps": 1,
              "r1_gamma": 0.2, "r1_gamma_end": 0.04, "r1_every": 8,
              "lr_g": 1e-3, "lr_d": 1e-3, "beta1": 0.0, "beta2": 0.99, "batch": 32},
}  # fmt: skip

AT_LEAST = {
    "images": 1, "batch": 2, "z_dim": 1, "label_dim": 1, "width": 2, "d_steps": 1, "r1_every": 1, "seed": 0,
    "r1_gamma": 0, "r1_gamma_end": 0, "lr_g": 0, "lr_d": 0, "ema_half_life": 0, "ema_ramp": 0,
}  # fmt: skip
SHARES = ("beta1", "beta2", "lr_constant", "lr_end")


def settings_of(preset: str, **changes: Any) -> Settings:
    """The preset's row with these values changed. Raises UserError, naming what is allowed."""
    values: dict[str, Any] = {"preset": preset} | known(preset, "preset", PRESETS) | changes
    settings = Settings(**values)
    known(settings.network, "network", NETWORKS)
    known(settings.loss, "loss", LOSSES)
    known(settings.precision, "precision", {"auto": None, "fp32": None, "bf16": None})
    try:
        parse(settings.augment)
    except ValueError as error:
        raise UserError(str(error)) from error
    for name, least in AT_LEAST.items():
        # The comparison is false for NaN too.
        if not getattr(settings, name) >= least:
            raise UserError(f"{name} is {getattr(settings, name)}; it must be at least {least}")
    for name in SHARES:
        # An Adam that never forgets divides by zero; a schedule may well be all constant.
        if not 0 <= getattr(settings, name) <= 1 or (
            name.startswith("beta") and getattr(settings, name) == 1
        ):
            raise UserError(f"{name} is {getattr(settings, name)}; it must be a share from 0 to 1")
    return settings


def known(name: str, what: str, table: dict[str, Any]) -> Any:
    """The table's row of this name. Raises UserError."""
    if name not in table:
        raise UserError(f"unknown {what} '{name}': choose from {', '.join(table)}")
    return table[name]
