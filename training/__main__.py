"""The command line: `python -m training prepare | train | sample | evaluate | export | encode | translate | caption | classify | compare | curve | theory | study`."""

import errno
import re
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from training.errors import UserError

# Each command's file and what --help says of it. Torch takes seconds to import: a file is read when it is asked for.
# fmt: off
COMMANDS = {
    "prepare":  ("commands.prepare", "Check a data set and pack it into one .npz."),
    "train":    ("commands.train", "Train a generator, or go on with a run that was stopped."),
    "sample":   ("commands.sample", "Draw pictures from a run's averaged generator."),
    "evaluate": ("commands.evaluate", "Measure a generator's quality, beside the real-vs-real floor."),
    "export":   ("commands.export", "Write a run's generator as the ONNX file that the service loads."),
    "encode":   ("commands.encode", "Train an encoder for a generator: the way back from pictures to z."),
    "translate": ("commands.translate", "Train, measure and export a generator that is given a picture: pix2pix."),
    "caption":  ("commands.caption", "Train, measure and export a generator that draws what a text says."),
    "classify": ("commands.classify", "Train a classifier by few labels and many images, beside a generator."),
    "compare":  ("research.comparison.command", "Train presets under an equal budget and measure them side by side."),
    "curve":    ("research.curve", "Measure checkpoints of one run against the images that they have seen."),
    "theory":   ("research.theory.command", "Compute the claims of docs/theory.md where the truth is known."),
    "study":    ("research.studies.command", "Run one experiment of docs/studies.md."),
}
# fmt: on
NO_MEMORY = re.compile("allocate memory|out of memory|not enough memory", re.IGNORECASE)


def in_main(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """The hook, but for a file that a thread can't write, TensorBoard's: the next write says so, or the end does."""
    return lambda args: None if isinstance(args.exc_value, OSError) else hook(args)


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"training.{COMMANDS[cmd_name][0]}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        threading.excepthook, sys.unraisablehook = in_main(threading.excepthook), in_main(sys.unraisablehook)
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # `| head`: click ends without a word
                raise
            raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror or error}") from error
        except (MemoryError, RuntimeError) as error:
            # Torch has no class for it on a CPU.
            if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
                raise
            raise click.ClickException(
                "there is not enough memory: --batch and --set width= decide how much is needed"
            ) from error


@click.group(cls=Commands)
def main() -> None:
    """Train a class-conditional image generator and export it for serving.

    In the usual order: prepare (check and pack a data set), train, evaluate, export.
    """


if __name__ == "__main__":
    main(prog_name="python -m training")
