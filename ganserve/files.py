"""What a result is as a file, and where it goes: a file, a folder or stdout; nothing that exists is overwritten unasked."""

import io
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from ganserve.answers.drawn import Samples
from ganserve.client import Client

QUALITIES = {"jpg": 90, "avif": 75}
"""Of the suffixes that have one, what it is where none is asked for, as the server has it."""
_SAME = {"jpeg": "jpg"}


@dataclass(frozen=True)
class Output:
    """What -o asks for. path: None for stdout."""

    path: Path | None
    format: str
    folder: bool = False
    force: bool = False

    def write(self, files: Mapping[str, bytes]) -> list[Path]:
        """Write each under its name into the folder, or the one named "" to what -o names. Returns where.

        A file is whole or not there. Raises UsageError for one that exists; OSError, with its name.
        """
        if self.path is None:
            for content in files.values():
                sys.stdout.buffer.write(content)
            sys.stdout.flush()
            return []
        paths = {self.path / name: content for name, content in files.items()}
        if self.folder:
            self.path.mkdir(parents=True, exist_ok=True)
        self.refuse_existing(list(paths))
        for path, content in paths.items():
            part = path.with_name(f"{path.name}.part")
            try:
                part.write_bytes(content)
                part.replace(path)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
            finally:
                part.unlink(missing_ok=True)
        return list(paths)

    def refuse_existing(self, paths: Sequence[Path]) -> None:
        """Raises UsageError."""
        taken = [] if self.force else [path for path in paths if os.path.lexists(path)]
        if taken:
            others = f" and {len(taken) - 1} more exist" if len(taken) > 1 else " exists"
            raise click.UsageError(f"{taken[0]}{others}: --force overwrites.")


def output(path: str, format: str | None, force: bool, formats: Sequence[str], folders: bool) -> Output:
    """What -o and --format mean, checked before anything is asked of a server. Raises UsageError."""
    default = format or formats[0]
    if path == "-":
        if sys.stdout.isatty():
            raise click.UsageError(
                f"-o -: this would write {default} bytes to the terminal; redirect stdout."
            )
        return Output(None, default)
    file = Path(path)
    if folders and (path.endswith(("/", os.sep)) or file.is_dir()):
        if default == "npy":
            raise click.UsageError(f"-o {path}: a folder gets one picture an image; npy is one file.")
        if file.exists() and not file.is_dir():
            raise click.UsageError(f"-o {path}: it is a file, not a folder.")
        return Output(file, default, folder=True, force=force)
    if file.is_dir():
        raise click.UsageError(f"-o {path}: it is a folder; name a file.")
    suffix = file.suffix.lower().removeprefix(".")
    suffix = _SAME.get(suffix, suffix)
    if suffix not in formats:
        allowed = ", ".join(f".{one}" for one in formats)
        raise click.UsageError(
            f"-o {path}: the suffix says the format; it can be {allowed}"
            + (", or the name end with / for a folder." if folders else ".")
        )
    if format not in (None, suffix):
        raise click.UsageError(f"-o {path} and --format {format} say two things.")
    if not file.parent.is_dir():
        raise click.UsageError(f"-o {path}: there is no folder {file.parent}.")
    asked = Output(file, suffix, force=force)
    asked.refuse_existing([file])
    return asked


def image_names(client: Client, drawn: Samples) -> list[str]:
    """`sneaker-1`: class and seed of each image; its place, where z was given."""
    ends = [f"z{i}" for i in range(len(drawn.images))] if drawn.seeds is None else drawn.seeds.tolist()
    if drawn.labels is None:
        return [str(end) for end in ends]
    slugs = client.model(f"{drawn.model}@{drawn.version}")["slugs"]
    # What a server calls a class can't lead to another folder.
    classes = ["".join(c if _stays(c) else "_" for c in slugs[label]) for label in drawn.labels]
    return [f"{name}-{end}" for name, end in zip(classes, ends, strict=True)]


def encode(images: NDArray[np.uint8], format: str, quality: int | None = None) -> bytes:
    """images: uint8 [N, H, W, C], N >= 1, C 1, 3 or 4; a grid of them as `png`, lossless `webp`, `jpg` (on
    white) or `avif`, or all as `npy`. quality: of the last two pictures, 0 to 100; by default the server's.

    Raises UsageError: this Pillow was built without avif.
    """
    buffer = io.BytesIO()
    if format == "npy":
        np.save(buffer, images, allow_pickle=False)
    else:
        whole = grid(images)
        picture = Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole)
        if format == "avif" and not features.check("avif"):
            raise click.UsageError(".avif: this Pillow was built without it; pip install 'pillow>=11.3'.")
        if format == "jpg":
            picture = on_white(picture)
        options: dict[str, Any] = {"lossless": True, "exact": True} if format == "webp" else {}
        if format in QUALITIES:
            options["quality"] = QUALITIES[format] if quality is None else quality
        picture.save(buffer, "JPEG" if format == "jpg" else format.upper(), **options)
    return buffer.getvalue()


def on_white(picture: Image.Image) -> Image.Image:
    """A picture with alpha without it; any other as it is."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def grid(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images row by row, as square as can be, as the server lays them out.

    images: uint8 [N, H, W, C], N >= 1. Returns uint8 [rows * H, columns * W, C], white where no image is.
    """
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, channels), 255, np.uint8)
    cells[:count] = images
    in_rows = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return in_rows.reshape(rows * height, columns * width, channels)


def _stays(c: str) -> bool:
    """Letters, digits, and the marks that are vowels in many scripts."""
    return c in "-_" or unicodedata.category(c)[0] in "LNM"
