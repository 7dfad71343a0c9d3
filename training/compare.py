"""Presets side by side: trained under one budget, measured by one judge, in one table and one picture.

Everything lies in one folder, a piece at a time and each written whole, so that the same command goes on
after any stop: `comparison.json` (the budget), `plans/PRESET.json` (the images that it buys), `runs/PRESET-SEED/`
(a training run, its `spent.json`, and `failed.json` if it stopped itself).
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console

from training.alarms import TrainingFailed
from training.budget import Spent, images_per_second, unit
from training.dataset import Dataset
from training.device import choose_device
from training.errors import UserError
from training.files import write_atomically
from training.formats import load
from training.loop import Interrupted, Run, say, train
from training.presets import PRESETS, settings_of
from training.settings import Settings

CHECKPOINTS, LOOKS = 30, 8
# In a run: of its state, and of sample grids with the look for mode collapse.


@click.command("compare")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="The data set, in any form that `train` takes.",
)
@click.option(
    "--presets",
    help="A comma list of recipes of presets.py, each with :N behind it for N seeds: dcgan,cgan:3. All, one "
    "seed each, if not given.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Budget of each run: CPU time of the training process (on an accelerator: wall time).",
)
@click.option(
    "--images",
    type=click.IntRange(1),
    help="Instead of minutes: real images that each run's discriminator sees.",
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The comparison's folder."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
def compare_command(
    data: Path,
    presets: str | None,
    minutes: float | None,
    images: int | None,
    out: Path,
    device: str,
    threads: int,
) -> None:
    """Train presets under an equal budget, one after the other.

    Stop it in any way; the same command goes on, and does nothing twice. More presets may join later,
    or in a second process at the same time.
    """
    torch.set_num_threads(threads)
    console = Console()
    wanted = parsed(presets)
    where = choose_device(device)
    dataset = load(data)
    try:
        with_budget(out, budget_of(minutes, images), dataset, where)
        plans = planned(out, list(wanted), dataset, where, console)
        train_all(out, wanted, plans, dataset, device, console)
    except (Interrupted, KeyboardInterrupt):
        say(console, f"Stopped. The same command goes on from what is in {out}.")
        sys.exit(130)


def parsed(presets: str | None) -> dict[str, int]:
    """`"dcgan,cgan:3"` -> {"dcgan": 1, "cgan": 3}: the seeds of each. Raises UserError."""
    if presets is None:
        return dict.fromkeys(PRESETS, 1)
    wanted = {}
    for word in presets.split(","):
        name, _, seeds = word.strip().partition(":")
        settings_of(name)
        if not (seeds or "1").isdecimal() or int(seeds or "1") < 1:
            raise UserError(f"--presets {word}: behind the colon stands a number of seeds, 1 or more")
        wanted[name] = int(seeds or "1")
    return wanted


def budget_of(minutes: float | None, images: int | None) -> dict[str, float]:
    """{"minutes": M} or {"images": N}. Raises UserError."""
    if (minutes is None) == (images is None):
        raise UserError("give the budget of each run, either --minutes or --images")
    return {"minutes": minutes} if minutes is not None else {"images": images or 0}


def with_budget(out: Path, budget: dict[str, float], dataset: Dataset, device: torch.device) -> None:
    """Begin a comparison in this folder, or see that it is the same one. Raises UserError."""
    words = {
        "budget": budget,
        "unit": unit(device),
        "threads": torch.get_num_threads(),
        "dataset": dataset.name,
        "data_fingerprint": dataset.fingerprint,
    }
    file = out / "comparison.json"
    if not file.exists():
        write_json(file, words)
    was = read_json(file)
    if differing := [
        f"{name} ({was.get(name)}, now {words[name]})" for name in words if was.get(name) != words[name]
    ]:
        raise UserError(f"{out} holds another comparison: {', '.join(differing)}. Give another --out.")


def planned(
    out: Path, presets: list[str], dataset: Dataset, device: torch.device, console: Console
) -> dict[str, Settings]:
    """The settings of each preset's runs: the budget in images, decided once and kept in plans/."""
    budget = read_json(out / "comparison.json")["budget"]
    new = {name: settings_of(name) for name in presets if not plan_file(out, name).exists()}
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
        write_json(plan_file(out, name), plan)
        speed = f" at {plan['images_per_second']:,.0f} images/s" if "images_per_second" in plan else ""
        say(console, f"{name}: {plan['images']:,} images{speed}")
    return {name: settings_of(name, images=read_json(plan_file(out, name))["images"]) for name in presets}


def train_all(
    out: Path,
    wanted: dict[str, int],
    plans: dict[str, Settings],
    dataset: Dataset,
    device: str,
    console: Console,
) -> None:
    """Every run to its end, or to the alarm that stopped it. Raises Interrupted."""
    runs = [(name, seed) for name, seeds in wanted.items() for seed in range(seeds)]
    for place, (name, seed) in enumerate(runs, 1):
        say(console, f"\n[{place}/{len(runs)}] {name}, seed {seed}")
        train_one(out, replace(plans[name], seed=seed), dataset, device, console)


def train_one(out: Path, settings: Settings, dataset: Dataset, device: str, console: Console) -> None:
    folder = run_folder(out, settings.preset, settings.seed)
    if (folder / "failed.json").exists():
        say(console, f"It stopped itself: {read_json(folder / 'failed.json')['reason']}")
        return
    if Spent.read(folder)[0] >= settings.images:
        say(console, "Trained.")
        return
    spent = Spent(folder, choose_device(device))
    run = Run(
        folder,
        device,
        checkpoint_every=max(1, settings.images // CHECKPOINTS),
        samples_every=max(1, settings.images // LOOKS),
        tensorboard=False,
        on_checkpoint=spent.note,
    )
    try:
        train(settings, run, dataset, console)
        if Spent.read(folder)[0] < settings.images:
            # Killed after the last checkpoint, before its note.
            spent.note(settings.images)
    except TrainingFailed as error:
        write_json(folder / "failed.json", {"reason": str(error)})
        say(console, f"It stopped itself: {error}")


def run_folder(out: Path, preset: str, seed: int) -> Path:
    return out / "runs" / f"{preset}-{seed}"


def plan_file(out: Path, preset: str) -> Path:
    return out / "plans" / f"{preset}.json"


def write_json(file: Path, document: dict[str, Any]) -> None:
    write_atomically(file, (json.dumps(document, indent=2) + "\n").encode())


def read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
