"""Files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from service.generator.file.reading import is_pointer
from training.errors import UserError


def refuse_pointer(file: Path) -> None:
    """Raises UserError where Git left a pointer in its place."""
    if not file.is_file():  # a pipe would be waited for
        return
    with contextlib.suppress(OSError), file.open("rb") as opened:
        if is_pointer(opened.read(64)):
            raise UserError(f"{file} is a pointer of Git LFS: `git lfs pull`, in its clone, gets the file")


@contextlib.contextmanager
def written(file: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when all is well; readers and crashes see the old one until then.

    Makes the folder if it is not there. Raises UserError (disk full, no permission...).
    """
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            yield out
            out.flush()
            # Without it a power cut can leave the new name on unwritten blocks.
            os.fsync(out.fileno())
        partial.replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_atomically(file: Path, content: bytes) -> None:
    """The same of content that is there already. Raises UserError."""
    with written(file) as out:
        out.write(content)
