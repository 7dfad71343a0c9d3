"""Where a result goes: a file, a folder or stdout; nothing that exists is overwritten unasked."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ganserve.client import Client, Samples


@dataclass(frozen=True)
class Output:
    """What -o asks for. path: None for a name that the result decides, and for stdout."""

    format: str
    path: Path | None = None
    stdout: bool = False
    folder: bool = False
    force: bool = False

    @property
    def is_named_by_result(self) -> bool:
        return self.folder or (self.path is None and not self.stdout)

    def write(self, files: Mapping[str, bytes]) -> list[Path]:
        """Write each under its name, or one under the name that -o gave. Returns where; nothing for stdout."""
        if self.stdout:
            stream = click.get_binary_stream("stdout")
            for content in files.values():
                stream.write(content)
            stream.flush()
            return []
        if self.folder:
            assert self.path
            paths = {self.path / name: content for name, content in files.items()}
        else:
            paths = {self.path or Path(name): content for name, content in files.items()}
        try:
            if self.folder and self.path:
                self.path.mkdir(parents=True, exist_ok=True)
            self.refuse_existing(list(paths))
            for path, content in paths.items():
                with path.open("wb" if self.force else "xb") as file:
                    file.write(content)
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}.") from None
        return list(paths)

    def refuse_existing(self, paths: Sequence[Path]) -> None:
        """Raises UsageError."""
        taken = [] if self.force else [path for path in paths if os.path.lexists(path)]
        if taken:
            others = f" and {len(taken) - 1} more exist" if len(taken) > 1 else " exists"
            raise click.UsageError(f"{taken[0]}{others}: --force overwrites.")


def output(
    path: str | None, format: str | None, force: bool, formats: Sequence[str], folders: bool
) -> Output:
    """What -o and --format mean, checked before anything is asked of a server. Raises UsageError."""
    default = format or formats[0]
    if path is None:
        return Output(default, force=force)
    if path == "-":
        if sys.stdout.isatty():
            raise click.UsageError(
                f"-o -: this would write {default} bytes to the terminal; redirect stdout."
            )
        return Output(default, stdout=True)
    file = Path(path)
    if folders and (path.endswith(("/", os.sep)) or file.is_dir()):
        if default == "npy":
            raise click.UsageError(f"-o {path}: a folder gets one picture an image; npy is one file.")
        if file.exists() and not file.is_dir():
            raise click.UsageError(f"-o {path}: it is a file, not a folder.")
        return Output(default, file, folder=True, force=force)
    if file.is_dir():
        raise click.UsageError(f"-o {path}: it is a folder; name a file.")
    suffix = file.suffix.lower().removeprefix(".")
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
    asked = Output(suffix, file, force=force)
    asked.refuse_existing([file])
    return asked


def safe(name: object) -> str:
    """A name that a server gave, as a part of a file's name: it can't lead to another folder."""
    return re.sub(r"[^\w.-]", "_", str(name)).lstrip(".")[:64] or "_"


def image_names(client: Client, drawn: Samples) -> list[str]:
    """`sneaker-1`: class and seed of each image; its place, where z was given."""
    ends = [f"z{i}" for i in range(len(drawn.images))] if drawn.seeds is None else drawn.seeds.tolist()
    if drawn.labels is None:
        return [str(end) for end in ends]
    slugs = client.model(f"{drawn.model}@{drawn.version}").get("slugs")
    known = slugs if isinstance(slugs, list) else []
    classes = [safe(known[i]) if 0 <= i < len(known) else str(i) for i in drawn.labels.tolist()]
    return [f"{name}-{end}" for name, end in zip(classes, ends, strict=True)]


def sheet_name(names: Sequence[str]) -> str:
    """`sneaker-1` of one image, `sneaker-1-to-16` of one class, `1-to-16` of several."""
    if len(names) == 1:
        return names[0]
    classes = {name.rpartition("-")[0] for name in names}
    first = names[0] if len(classes) == 1 else names[0].rpartition("-")[2]
    return f"{first}-to-{names[-1].rpartition('-')[2]}"
