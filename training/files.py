"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """Readers and crashes see the whole old file or the whole new one."""
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as out:
        out.write(content)
        out.flush()
        # Without it a power cut can leave the new name on unwritten blocks.
        os.fsync(out.fileno())
    partial.replace(file)
