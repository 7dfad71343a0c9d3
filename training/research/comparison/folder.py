"""A comparison's folder: what lies where, and what of it is done.

Every piece is written whole and once, so that the same command goes on after any stop:

    comparison.json           the budget
    plans/PRESET.json         the images that it buys
    runs/PRESET-SEED/         a training run, its spent.json, and failed.json if it stopped itself
    models/PRESET/            the exported model of seed 0; PRESET-seed-1 and so on of the others
                              (of dcgan+width=32 it is dcgan-width-32: what names may have)
    results/PRESET-SEED.json  its figures
    table.json, table.md, samples.png, nearest.png    from all results that are there
"""

import json
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.presets import PRESETS
from training.research.comparison.budget import Spent


def comparison_file(out: Path) -> Path:
    return out / "comparison.json"


def plan_file(out: Path, preset: str) -> Path:
    return out / "plans" / f"{preset}.json"


def run_folder(out: Path, preset: str, seed: int) -> Path:
    return out / "runs" / f"{preset}-{seed}"


def failure_file(out: Path, preset: str, seed: int) -> Path:
    return run_folder(out, preset, seed) / "failed.json"


def model_folder(out: Path, preset: str, seed: int) -> Path:
    """A model's name is its folder's; it is the first seed that bears the preset's, not the best."""
    return out / "models" / model_name(preset, seed)


def model_name(preset: str, seed: int) -> str:
    name = preset.replace("+", "-").replace("=", "-")
    return name if seed == 0 else f"{name}-seed-{seed}"


def result_file(out: Path, preset: str, seed: int) -> Path:
    return out / "results" / f"{preset}-{seed}.json"


def comparison_so_far(out: Path) -> dict[str, Any]:
    """All runs that have begun, in the presets' order: of a measured one its result, of another how far it is."""
    found = []
    for folder in (out / "runs").iterdir():
        preset, _, seed = folder.name.rpartition("-")
        if (result := result_file(out, preset, int(seed))).exists():
            found.append(read_json(result))
            continue
        images, seconds = Spent.read(folder)
        planned = read_json(plan_file(out, preset))["images"]
        run = {"preset": preset, "seed": int(seed), "images_planned": planned, "images": images}
        found.append(run | {"seconds": seconds} | failure(out, preset, int(seed)))
    order = list(PRESETS)

    def place(run: dict[str, Any]) -> tuple[int, str, int]:
        base = run["preset"].partition("+")[0]
        return order.index(base) if base in order else 99, run["preset"], run["seed"]

    found.sort(key=place)
    return read_json(comparison_file(out)) | {"runs": found}


def failure(out: Path, preset: str, seed: int) -> dict[str, str]:
    """{"reason": ...} if the run stopped itself, else {}."""
    file = failure_file(out, preset, seed)
    return read_json(file) if file.exists() else {}


def read_json(file: Path) -> dict[str, Any]:
    """Raises UserError."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
