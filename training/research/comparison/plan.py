"""What a comparison is to do: which presets, from how many seeds, and the images that the budget buys each."""

from pathlib import Path

import torch
from rich.console import Console

from training.commands.train import parsed as changes_of
from training.data.dataset import Dataset
from training.errors import UserError
from training.presets import PRESETS, settings_of
from training.research.comparison.budget import images_per_second, unit
from training.research.comparison.folder import comparison_file, plan_file, read_json
from training.research.documents import machine, save_json
from training.run.loop import say
from training.settings import Settings


def parsed(presets: str | None) -> dict[str, int]:
    """`"dcgan,cgan+width=200:3"` -> {"dcgan": 1, "cgan+width=200": 3}: the seeds of each. Raises UserError."""
    if presets is None:
        return dict.fromkeys(PRESETS, 1)
    wanted = {}
    for word in presets.split(","):
        name, _, seeds = word.strip().partition(":")
        system(name)
        if not (seeds or "1").isdecimal() or int(seeds or "1") < 1:
            raise UserError(f"--presets {word}: behind the colon stands a number of seeds, 1 or more")
        wanted[name] = int(seeds or "1")
    return wanted


def system(name: str, **more: object) -> Settings:
    """The settings of a row: a preset, or one with settings changed, `dcgan+ema_half_life=90000`. Raises UserError."""
    preset, *changes = name.split("+")
    return settings_of(preset, **changes_of(tuple(changes)), **more)


def budget_of(minutes: float | None, images: int | None) -> dict[str, float]:
    """{"minutes": M} or {"images": N}. Raises UserError."""
    if (minutes is None) == (images is None):
        raise UserError("give the budget of each run, either --minutes or --images")
    return {"minutes": minutes} if minutes is not None else {"images": images or 0}


def begin(out: Path, budget: dict[str, float], dataset: Dataset, device: torch.device) -> None:
    """Begin a comparison in this folder, or see that it is the same one. Raises UserError."""
    words = {
        "budget": budget,
        "unit": unit(device),
        "threads": torch.get_num_threads(),
        "dataset": dataset.name,
        "data_fingerprint": dataset.fingerprint,
    }
    file = comparison_file(out)
    was = read_json(file) if file.exists() else words
    if differing := [
        f"{name} ({was.get(name)}, now {words[name]})" for name in words if was.get(name) != words[name]
    ]:
        raise UserError(f"{out} holds another comparison: {', '.join(differing)}. Give another --out.")
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    save_json(file, {"machine": gpu + machine()} | was)


def planned(
    out: Path, presets: list[str], dataset: Dataset, device: torch.device, console: Console
) -> dict[str, Settings]:
    """The settings of each preset's runs: the budget in images, decided once and kept in plans/."""
    budget = read_json(comparison_file(out))["budget"]
    new = {name: system(name) for name in presets if not plan_file(out, name).exists()}
    if "images" in budget:
        plans = {name: {"images": budget["images"]} for name in new}
    elif new:
        seconds = 60 * budget["minutes"]
        say(console, f"Measuring the training speed of {', '.join(new)} ...")
        speeds = images_per_second(new, dataset, device, seconds)
        plans = {
            name: {
                "images": max(new[name].batch, round(speed * seconds)),
                "images_per_second": round(speed, 2),
            }
            for name, speed in speeds.items()
        }
    else:
        plans = {}
    for name, plan in plans.items():
        save_json(plan_file(out, name), plan)
        speed = f" at {plan['images_per_second']:,.0f} images/s" if "images_per_second" in plan else ""
        say(console, f"{name}: {plan['images']:,} images{speed}")
    return {name: system(name, images=read_json(plan_file(out, name))["images"]) for name in presets}
