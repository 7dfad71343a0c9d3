"""`ganserve import`: the command line. What it needs beyond the client is imported when it runs."""

import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from ganserve.terminal import step

_TYPES = ("float32", "int64", "int32")
_SCALAR = re.compile(r"(.+)=([-+.\deE]+?)\.\.([-+.\deE]+):([-+.\deE]+)", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _sides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in re.split(r"[x,]", text))
    except ValueError:
        raise click.BadParameter(f"'{text}' is no shape: write 100x1x1.") from None


def _z(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> tuple[str | None, tuple[int, ...] | None]:
    name, is_given, shape = (text or "").rpartition("=") if "=" in (text or "") else (text or "", "", "")
    return name or None, _sides(shape) if is_given else None


def _constants(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    import numpy as np

    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name:
            raise click.BadParameter(f"'{text}': write NAME=0.7, or NAME=@FILE.npy.")
        try:
            found[name] = np.load(value[1:], allow_pickle=False) if value.startswith("@") else float(value)
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"'{text}': {error}.") from error
    return found


def _scalars(
    ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[float, float, float]]:
    found = {}
    for text in texts:
        match = _SCALAR.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            low, high, default = map(float, match.groups()[1:])
        except ValueError:
            raise click.BadParameter(f"'{text}': write NAME=LOW..HIGH:DEFAULT, as psi=0..1:0.7.") from None
        if not low <= default <= high:
            raise click.BadParameter(f"'{text}': the default must be in the range.")
        found[match[1]] = low, high, default
    return found


def _classes(ctx: click.Context, option: click.Parameter, text: str | None) -> list[str] | int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and not Path(text).exists():
        return int(text)
    from service.generator.classes import text_of

    try:
        lines = text_of(Path(text).read_bytes()).splitlines()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{text} can't be read: {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def _beside(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str | None]:
    parts = (text.rpartition("=") if text.endswith(("=z", "=logits")) else (text, "", "") for text in texts)
    return {name: role or None for name, _, role in parts}


def _image(ctx: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    sides = None if text is None else _sides(text)
    if sides is not None and len(sides) != 3:
        raise click.BadParameter(f"'{text}': write CHANNELSxHEIGHTxWIDTH, as 3x64x64.")
    return sides


def _input_shapes(
    ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {}
    for text in texts:
        name, is_given, shape = text.partition("=")
        kind, _, sides = shape.rpartition(":") if ":" in shape else ("float32", "", shape)
        if shape in _TYPES:
            kind, sides = shape, ""
        if not is_given or kind not in _TYPES:
            raise click.BadParameter(f"'{text}': write z=100x1x1, label=int64, or NAME=int64:3.")
        found[name] = kind, _sides(sides) if sides else ()
    return found


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="[FILE|FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="The model's folder, as models/faces."
)
@click.option("--check", is_flag=True, help="Say what the file is and all that is open; write nothing.")
@click.option(
    "--z", callback=_z, metavar="INPUT[=SHAPE]", help="The input that is z; per image of 100x1x1 numbers."
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
    callback=_scalars,
    metavar="INPUT=LOW..HIGH:DEFAULT",
    help="An input that requests may choose: psi=0..1:0.7. May be repeated.",
)
@click.option("--label", metavar="INPUT", help="The input that takes the class: an index, or one-hot.")
@click.option(
    "--classes", callback=_classes, metavar="FILE", help="Names of the classes, one per line; or how many."
)
@click.option(
    "--constant",
    "constants",
    multiple=True,
    callback=_constants,
    metavar="INPUT=VALUE",
    help="An input that keeps one value: truncation=0.7, or w_avg=@w_avg.npy. May be repeated.",
)
@click.option("--output", metavar="OUTPUT", help="The output that holds the images, where there are several.")
@click.option(
    "--beside", multiple=True, callback=_beside, metavar="OUTPUT[=z|logits]", help="Kept, for V2, too."
)
@click.option("--image", callback=_image, metavar="CxHxW", help="What a flat output is: 3x64x64.")
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Colours as planes, or as pixels.")
@click.option(
    "--range",
    type=click.Choice(["-1..1", "0..1", "0..255", "0..65535"]),
    help="What is black, and what is white.",
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
    callback=_input_shapes,
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
    from ganserve.importing.surgery.wishes import Refused, Wishes, printable

    factory, weights = options["factory"], options["weights"]
    wishes = Wishes(**{field.name: options[field.name] for field in fields(Wishes)})
    try:
        found = look_into(source) if source is not None and source.is_dir() else HubFolder(onnx=source)
        path, origin = found.onnx, weights or found.weights or source
        if factory is not None:
            if find_spec("torch") is None:
                raise click.UsageError("--torch needs PyTorch: pip install 'ganserve[training]'")
            from ganserve.importing.torch_module import to_onnx

            path = scratch / "module.onnx"
            with step(f"Exporting {factory}"):
                to_onnx(factory, weights or found.weights, found.config, options["shapes"], path)
        elif path is None:
            raise click.UsageError(f"{source} holds no ONNX file: --torch package.module:factory makes one.")
        with step(f"Looking into {path.name}"):
            plan = inspect(path, wishes)
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
            names = write_folder(plan, adapted, out or scratch / name, text)
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
    click.echo(f"{out}: {', '.join(names)}. Next: look at samples.png, then `ganserve serve {out.parent}`")


if __name__ == "__main__":
    import_command(prog_name="ganserve import")
