"""The command line: `python -m training prepare | train | sample | evaluate | export | compare`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

# torch takes seconds to import: only the commands that need it do so, in their own body.

LATE_COMMANDS = {
    "evaluate": "training.evaluation.evaluate:evaluate_command",
    "export": "training.export.export:export_command",
    "compare": "training.research.comparison.command:compare_command",
    "theory": "training.research.theory.command:theory_command",
    "study": "training.research.studies.command:study_command",
}


class Commands(click.Group):
    """Commands of this file, and those of LATE_COMMANDS, whose files are read when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *LATE_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in LATE_COMMANDS:
            module, _, attribute = LATE_COMMANDS[cmd_name].partition(":")
            return getattr(import_module(module), attribute)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        rows += [("evaluate", "Measure a generator's quality, beside the real-vs-real floor.")]
        rows += [("export", "Write a run's generator as the ONNX file that the service loads.")]
        rows += [("compare", "Train presets under an equal budget and measure them side by side.")]
        rows += [("theory", "Compute the claims of docs/theory.md where the truth is known.")]
        rows += [("study", "Run one experiment of docs/studies.md.")]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        from training.errors import UserError

        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
def main() -> None:
    """Train a class-conditional image generator and export it for serving.

    In the usual order: prepare (check and pack a data set), train, evaluate, export.
    """


SOURCE = click.Path(exists=True, path_type=Path)
SOURCE_HELP = (
    "An IDX folder (.gz files as of MNIST), a folder of images with one subfolder a class, or an .npz."
)


@main.command()
@click.option("--data", required=True, type=SOURCE, help=SOURCE_HELP)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npz to write."
)
@click.option(
    "--name", help="The data set's name, which the model will carry. The folder's name if not given."
)
@click.option(
    "--size",
    type=click.Choice(["28", "32", "64", "128"]),
    help="For a folder of images: crop each to a centred square and scale it to this many pixels a side.",
)
def prepare(data: Path, out: Path, name: str | None, size: str | None) -> None:
    """Check a data set and pack it into one .npz.

    Prints the images of each class, and writes a picture with one image a class beside the .npz:
    look at it before training for hours.
    """
    from rich.console import Console

    from service.generator.images import png
    from training.data.formats import load
    from training.data.label_check import one_of_each, show
    from training.data.packed import save_npz
    from training.files import write_atomically

    if out.suffix != ".npz":
        raise click.UsageError(f"--out {out}: the packed form is an .npz file")
    dataset = load(data, name, int(size) if size else None)
    picture = out.with_name(f"{out.stem}_classes.png")
    save_npz(dataset, out)
    write_atomically(picture, png(one_of_each(dataset)))
    console = Console()
    show(dataset, console)
    console.print(
        f"Packed in {out}. One image a class, in the order above: {picture}", soft_wrap=True, markup=False
    )


@main.command()
@click.option("--data", required=True, type=SOURCE, help=SOURCE_HELP)
@click.option(
    "--run",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The run's folder: checkpoint, sample grids, TensorBoard. One with a checkpoint is gone on with.",
)
@click.option("--preset", default="ns-r1", show_default=True, help="A recipe of presets.py.")
@click.option("--images", type=click.IntRange(1), help="Length of the run in real images seen.")
@click.option("--batch", type=click.IntRange(2), help="Images in an update.")
@click.option("--seed", type=click.IntRange(0), help="Decides weights, order of images and latents.")
@click.option(
    "--augment",
    help="Augmentations before the discriminator, for small data sets: a comma list of "
    "brightness, saturation, contrast, translation, cutout.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="auto: bf16 where the hardware is fast at it.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting of settings.py; may be repeated.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="CPU threads. Torch's own choice if not given.")
@click.option(
    "--checkpoint-every", type=click.IntRange(1), default=20_000, show_default=True, help="In images."
)
@click.option("--samples-every", type=click.IntRange(1), default=50_000, show_default=True, help="In images.")
@click.option("--tensorboard/--no-tensorboard", default=True, show_default=True)
@click.option(
    "--on-collapse",
    type=click.Choice(["stop", "rollback", "warn"]),
    default="stop",
    show_default=True,
    help="At mode collapse or NaN: stop and say what to try; go back to the last state whose pictures were "
    "sound, with other draws and half the learning rates, three times at most; or warn and go on (NaN still stops).",
)
def train(
    data: Path,
    run: Path,
    preset: str,
    changes: tuple[str, ...],
    device: str,
    threads: int | None,
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
    import torch
    from rich.console import Console

    from training.data.formats import load
    from training.presets import settings_of
    from training.run.loop import Interrupted, Run
    from training.run.loop import train as train_loop

    if threads:
        torch.set_num_threads(threads)
    given = {name: value for name, value in named.items() if value is not None}
    settings = settings_of(preset, **parsed(changes) | given)
    console = Console()
    dataset = load(data)
    options = Run(run, device, checkpoint_every, samples_every, tensorboard, on_collapse)
    try:
        train_loop(settings, options, dataset, console)
    except Interrupted:
        console.print(
            f"Stopped; the checkpoint is in {run}. The same command goes on from it.", soft_wrap=True
        )
        sys.exit(130)


@main.command()
@click.option("--run", required=True, type=SOURCE, help="A run folder, or a checkpoint file.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .png to write."
)
@click.option("--label", help="A class name or index. All classes, one a row, if not given.")
@click.option(
    "--seed", type=click.IntRange(0, 2**53 - 1001), default=0, show_default=True, help="Of the first image."
)
@click.option(
    "--n", type=click.IntRange(1, 1000), default=10, show_default=True, help="Images of each class."
)
def sample(run: Path, out: Path, label: str | None, seed: int, n: int) -> None:
    """Draw pictures from a run's averaged generator.

    Seeds are addresses: the exported model gives the same image for the same seed and class.
    """
    from service.generator.images import grid, png
    from training.files import write_atomically
    from training.run.checkpoint import load_generator
    from training.run.samples import sample as sample_images

    if out.suffix != ".png":
        raise click.UsageError(f"--out {out}: pictures are written as .png")
    trained = load_generator(run)
    labels = (
        list(range(trained.spec.classes)) if label is None else [class_index(label, trained.spec.class_names)]
    )
    seeds = list(range(seed, seed + n))
    images = sample_images(
        trained.generator, trained.settings.z_dim, seeds * len(labels), [row for row in labels for _ in seeds]
    )
    write_atomically(out, png(grid(images, n if label is None else None)))


def class_index(label: str, class_names: tuple[str, ...]) -> int:
    """A class name, without regard to case, or an index."""
    names = [name.lower() for name in class_names]
    if label.lower() in names:
        return names.index(label.lower())
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    raise click.UsageError(
        f"--label {label}: choose from {', '.join(class_names)}, or 0 to {len(names) - 1}."
    )


def parsed(changes: tuple[str, ...]) -> dict[str, Any]:
    """`("width=48", "lr_g=5e-4")` -> {"width": 48, "lr_g": 0.0005}, by the settings' types."""
    from dataclasses import fields

    from training.settings import Settings

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


if __name__ == "__main__":
    main(prog_name="python -m training")
