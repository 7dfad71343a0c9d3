"""`python -m training train`: a run, begun or gone on with."""

from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from training.commands.options import DEVICE, choice, interruptible, threads, whole
from training.commands.sources import FOLDER, SOURCE
from training.data.dataset import UNLABELLED
from training.data.formats import load
from training.device import choose_device
from training.gan.augment import AUGMENTATIONS
from training.presets import PRECISIONS, settings_of
from training.processes import from_first, joined, rank
from training.run.checkpoint import FILE_NAME, read
from training.run.loop import say, train
from training.run.run import Options
from training.settings import Settings


@click.command("train")
@SOURCE
@click.option(
    "--run", required=True, type=FOLDER, help="The run's folder; with a checkpoint it is gone on with."
)
@click.option("--preset", show_default="ns-r1", help="A recipe of presets.py.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Fine-tune: begin with the weights, and unless --preset is given the settings, of this run or checkpoint.",
)
@click.option(
    "--freeze-d", type=click.IntRange(0), help="Of --from: layers of D, from the image on, that stay."
)
@click.option(
    "--freeze-g", type=click.IntRange(0), help="Of --from: layers of G, from the image on, that stay."
)
@click.option("--images", type=click.IntRange(1), help="Length of the run in real images seen.")
@click.option("--batch", type=click.IntRange(2), help="Images in an update.")
@click.option("--seed", type=click.IntRange(0), help="Decides weights, order of images and latents.")
@click.option("--augment", help=f"For small data sets, a comma list of {', '.join(AUGMENTATIONS)}.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="auto: bf16 where it is fast.")
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Any other setting of settings.py."
)
@DEVICE
@threads(of_torch_alone=True)
@whole("--checkpoint-every", "In images.", 20_000)
@whole("--samples-every", "In images.", 50_000)
@click.option("--tensorboard/--no-tensorboard", default=True, show_default=True)
@choice(
    "--on-collapse",
    ["stop", "rollback", "warn"],
    "At mode collapse or NaN: stop and say what to try; go back to the last state whose pictures were "
    "sound, with other draws and half the learning rates, three times at most; or warn and go on (NaN still stops).",
)
def command(
    data: Path,
    run: Path,
    preset: str | None,
    source: Path | None,
    changes: tuple[str, ...],
    device: str,
    checkpoint_every: int,
    samples_every: int,
    tensorboard: bool,
    on_collapse: str,
    **named: Any,
) -> None:
    """Train a generator, or go on with a run that was stopped.

    Stop it with Ctrl-C; the same command goes on. Killed in any way, the run loses only what came
    after its last checkpoint, and a CPU run still ends in the same bits.
    """
    given = parsed(changes) | {name: value for name, value in named.items() if value is not None}
    # Of several processes the first one speaks.
    console, board = Console(quiet=rank() > 0), tensorboard and rank() == 0
    options = Options(run, device, checkpoint_every, samples_every, board, on_collapse)
    with interruptible(console, run), joined(choose_device(device)):
        if source is not None:
            base = from_first(partial(before, run, source)) if preset is None else {}
            given = base | given | {"source": str(source)}
        settings = settings_of(preset or given.pop("preset", "ns-r1"), **given)
        dataset = load(data)
        if dataset.class_names == UNLABELLED and settings.conditional:
            say(console, f"{data} has no classes: the generator will take none.")
            settings = replace(settings, conditional=False)
        train(settings, options, dataset, console)


def before(run: Path, source: Path) -> dict[str, Any]:
    """The settings that --from stands for: those of the run where it has begun, so that it goes on without its source."""
    if (run / FILE_NAME).is_file():
        return asdict(read(run)[0].settings)
    return asdict(read(source)[0].settings) | {"freeze_d": 0, "freeze_g": 0}


def parsed(changes: tuple[str, ...]) -> dict[str, Any]:
    """`("width=48", "lr_g=5e-4")` -> {"width": 48, "lr_g": 0.0005}, by the settings' types."""
    types = {field.name: type(field.default) for field in fields(Settings) if field.name != "preset"}
    values: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in types:
            raise click.UsageError(f"--set {change}: no setting '{name}'. There are: {', '.join(types)}.")
        try:
            values[name] = {"true": True, "false": False}[text] if types[name] is bool else types[name](text)
        except (KeyError, ValueError) as error:
            raise click.UsageError(f"--set {change}: '{text}' is no {types[name].__name__}.") from error
    return values
