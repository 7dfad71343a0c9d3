"""Files that are there whole or not at all."""

import contextlib
import os
from pathlib import Path

from training.errors import UserError


def write_atomically(file: Path, content: bytes) -> None:
    """Readers and crashes see the whole old file or the whole new one.

    Makes the folder if it is not there. Raises UserError (disk full, no permission...).
    """
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            out.write(content)
            out.flush()
            # Without it a power cut can leave the new name on unwritten blocks.
            os.fsync(out.fileno())
        partial.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise UserError(f"{file} cannot be written: {error.strerror}") from error
