"""`ganserve import`: the command line. What it needs beyond the client is imported when it runs."""

import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from ganserve.importing import said
from ganserve.terminal import step

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="[FILE|FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="The model's folder, as models/faces."
)
@click.option("--check", is_flag=True, help="Say what the file is and all that is open; write nothing.")
@click.option(
    "--z", callback=said.z, metavar="INPUT[=SHAPE]", help="The input that is z; per image of 100x1x1 numbers."
)
@click.option(
    "--law",
    type=click.Choice(["normal", "uniform", "uniform01", "truncated"]),
    default="normal",
    show_default=True,
    help="What z was in training: standard normal; uniform in -1 to 1, or in 0 to 1; normal within -2 to 2.",
)
@click.option(
    "--scale", type=float, default=1.0, show_default=True, help="What z is multiplied by, before the graph."
)
@click.option(
    "--drawn",
    multiple=True,
    metavar="INPUT",
    help="An input of noise, which the seed decides too. May be repeated.",
)
@click.option(
    "--scalar",
    "scalars",
    multiple=True,
    callback=said.scalars,
    metavar="INPUT=LOW..HIGH:DEFAULT",
    help="An input that requests may choose: psi=0..1:0.7. May be repeated.",
)
@click.option(
    "--text", callback=said.z, metavar="INPUT[=TOKENS]", help="The input that takes a text's token ids."
)
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What makes them of a text: a tokenizer.json of Hugging Face's `tokenizers`. By default that of the folder.",
)
@click.option("--label", metavar="INPUT", help="The input that takes the class: an index, or one-hot.")
@click.option(
    "--classes",
    callback=said.classes,
    metavar="FILE",
    help="Names of the classes, one per line; or how many.",
)
@click.option(
    "--constant",
    "constants",
    multiple=True,
    callback=said.constants,
    metavar="INPUT=VALUE",
    help="An input that keeps one value: truncation=0.7, or w_avg=@w_avg.npy. May be repeated.",
)
@click.option("--output", metavar="OUTPUT", help="The output that holds the images, where there are several.")
@click.option(
    "--beside", multiple=True, callback=said.beside, metavar="OUTPUT[=z|logits]", help="Kept, for V2, too."
)
@click.option("--image", callback=said.image, metavar="CxHxW", help="What a flat output is: 3x64x64.")
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Colours as planes, or as pixels.")
@click.option(
    "--range",
    callback=said.range_,
    metavar="LOW..HIGH",
    help="What is black, and what is white: -1..1, 0..1, 0..255, 0..4095, 0..65535, -128..127.",
)
@click.option(
    "--noise",
    type=click.Choice(["z", "none"]),
    help="What the graph draws itself: a part of z, so that an image keeps its noise; or its mean.",
)
@click.option(
    "--torch", "factory", metavar="MODULE:FACTORY", help="Makes a torch.nn.Module, which is exported first."
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its weights: .safetensors, .pt.",
)
@click.option(
    "--input",
    "shapes",
    multiple=True,
    callback=said.input_shapes,
    metavar="NAME=SHAPE",
    help="Of one image, per parameter of its forward: z=100x1x1, label=int64. May be repeated.",
)
@click.option(
    "--licence",
    metavar="NAME",
    help="Of weights and images, for the card, as the Hub has it: apache-2.0, cc-by-4.0.",
)
@click.option(
    "--about", metavar="TEXT", help="For the card: what the images are, whose, and under which licence."
)
def import_command(
    source: Path | None, out: Path | None, check: bool, factory: str | None, **options: Any
) -> None:
    """Make a model of anyone's trained generator: an ONNX file that draws images in one pass.

    \b
    ganserve import dcgan.onnx --out models/faces
    ganserve import biggan.onnx --out models/animals --constant truncation=0.7 --law truncated --classes names.txt
    ganserve import --check stylegan.onnx
    ganserve import --torch dcgan:Generator --weights netG.pt --input z=100x1x1 --out models/faces

    What the file does not say is asked for, everything at once; what was found out is said, and can be said otherwise
    by an option. The model is written only if it draws the original's pictures and the service serves it.

    Exit codes: 0 done; 1 something is open, or wrong with the file; 2 wrong usage.
    """
    if source is None and factory is None:
        raise click.UsageError("Which file? As `ganserve import generator.onnx --out models/NAME`.")
    if out is None and not check:
        raise click.UsageError("Where to? --out models/NAME, or --check to look only.")
    name = "model" if out is None else out.resolve().name
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"--out {out}: a model's name has lower-case letters, digits and . _ - only, at most 64."
        )
    options["factory"] = factory
    options["z"], options["z_shape"] = options["z"]
    options["text"], options["text_shape"] = options["text"]
    try:
        with TemporaryDirectory() as scratch:
            _import(source, None if check else out, name, options, Path(scratch))
    except OSError as error:
        raise click.ClickException(f"{error.filename or out}: {error.strerror}.") from error


def _import(source: Path | None, out: Path | None, name: str, options: dict[str, Any], scratch: Path) -> None:
    """out: None to write nothing. scratch: a folder for what is exported first."""
    from ganserve.importing.adapting import adapt
    from ganserve.importing.folder import about, describe, write_folder
    from ganserve.importing.hub_folder import HubFolder, look_into
    from ganserve.importing.inspecting import inspect
    from ganserve.importing.other_files import in_folder
    from ganserve.importing.surgery.wishes import Refused, Wishes, printable

    factory, weights = options["factory"], options["weights"]
    defaults: list[str] = []
    try:
        found = look_into(source) if source is not None and source.is_dir() else HubFolder(onnx=source)
        tokenizer = options["tokenizer"] or found.tokenizer
        options["tokenizer"] = None if tokenizer is None else tokenizer.read_text("utf-8")
        wishes = Wishes(**{field.name: options[field.name] for field in fields(Wishes)})
        path, origin = found.onnx, weights or found.weights or source
        if factory is not None:
            if find_spec("torch") is None:
                raise click.UsageError("--torch needs PyTorch: pip install 'ganserve[training]'")
            from ganserve.importing.torch_module import to_onnx

            path = scratch / "module.onnx"
            with step(f"Exporting {factory}"):
                defaults = to_onnx(factory, weights or found.weights, found.config, options["shapes"], path)
        elif path is None:
            assert source is not None
            raise Refused([in_folder(source)])
        with step(f"Looking into {path.name}"):
            plan = inspect(path, wishes)
        plan.foreign.notes += defaults
        with step("Comparing what the adapted file draws with what the original does"):
            adapted = adapt(plan, name)
        notes = [*describe(plan), *plan.notes, *plan.foreign.notes]
        click.echo("\n".join(f"- {line}" for line in notes))
        text = about(
            factory,
            origin or path,
            options["about"] or found.about,
            options["licence"] or found.licence,
        )
        with step("Loading it as the service will"):
            files, found = write_folder(plan, adapted, out or scratch / name, text)
        click.echo("".join(f"- {line}\n" for line in found), nl=False)
    except Refused as refused:
        lines = [f"{source or factory} can't be served as it is:"]
        lines += [
            f"{i}. {printable(fault.what)}\n   {printable(fault.mend)}"
            for i, fault in enumerate(refused.faults, 1)
        ]
        raise click.ClickException("\n".join(lines)) from refused
    if out is None:
        click.echo("Nothing is open: `--out models/NAME` writes it.")
        return
    click.echo(f"{out}: {', '.join(files)}. Next: look at samples.png, then `ganserve serve {out.parent}`")


if __name__ == "__main__":
    import_command(prog_name="ganserve import")
