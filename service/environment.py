"""The settings, read from GANSERVE_* and validated before anything starts."""

import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.machine.hardware import default_workers
from service.settings import PREFIX, Settings

# Kubernetes injects these into every pod beside a Service named `ganserve`; the client reads the first two.
_FOREIGN_NAMES = {"GANSERVE_URL", "GANSERVE_API_KEY", "GANSERVE_PORT", "GANSERVE_SERVICE_HOST"}
_FOREIGN_PREFIXES = ("GANSERVE_SERVICE_PORT", "GANSERVE_PORT_")


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from GANSERVE_* variables; an empty value is as good as none.

    Raises SettingsError, one line that names the variable and what is allowed.
    """
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        name = PREFIX + setting.name.upper()
        text = environ.get(name, "").strip()
        if text:
            values[setting.name] = _parse(
                name,
                text,
                Path if isinstance(setting.default, Path) else type(setting.default),
                setting.metadata,
            )
    values["workers"] = values.get("workers") or default_workers()
    return Settings(**values)


def unknown_names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """A warning for each GANSERVE_ variable that is no setting, with the nearest name that is one."""
    known = [PREFIX + setting.name.upper() for setting in fields(Settings)]
    warnings = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known or name in _FOREIGN_NAMES:
            continue
        if name.startswith(_FOREIGN_PREFIXES):
            continue
        # Without the prefix, which alone would make any two names close.
        near = get_close_matches(name.removeprefix(PREFIX), [n.removeprefix(PREFIX) for n in known], 1)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        warnings.append(f"{name} is not a setting and has no effect{hint}")
    return warnings


def _parse(name: str, text: str, kind: type, bounds: Mapping[str, Any]) -> Any:
    if "choices" in bounds:
        if text.lower() not in bounds["choices"]:
            raise SettingsError(f"{name} is '{text}': allowed are {', '.join(bounds['choices'])}.")
        return text.lower()
    if kind not in (int, float):
        return text if kind is str else Path(text)
    noun = "a whole number" if kind is int else "a number"
    try:
        value = kind(text)
    except ValueError:
        raise SettingsError(f"{name} is '{text}': it must be {noun}.") from None
    if not bounds["low"] <= value <= bounds["high"]:  # also refuses NaN
        raise SettingsError(f"{name} is {text}: it must be {noun} from {bounds['low']} to {bounds['high']}.")
    return value
