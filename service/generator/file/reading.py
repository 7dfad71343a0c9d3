"""A file of a models folder, as whoever laid it there left it: it may be a pipe, a device, a link to nowhere, or without end."""

import errno
import os
import stat
from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/"
MOST_BYTES = 2**31
"""Of an ONNX file: protobuf holds no more."""


def contents(path: Path) -> bytes:
    """Raises OSError, also for what is no file and for what is larger than any ONNX file."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, and a device be read, without end
        raise OSError(errno.EINVAL, "It is no file", f"{path}")
    if status.st_size >= MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), f"{path}")
    return path.read_bytes()


def is_pointer(content: bytes) -> bool:
    """Whether it is what Git leaves of a large file where its LFS is not installed."""
    return content.startswith(_POINTER)


def is_there(path: Path) -> bool:
    """Whether there is anything of that name: what can't be read is for whoever reads it to tell."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def has_text_name(path: Path) -> bool:
    """Whether its name is text, as JSON and metrics need it; to Linux a name is any bytes."""
    return path.name.isprintable()
