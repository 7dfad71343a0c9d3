from pathlib import Path

import pytest

from training.errors import UserError
from training.files import write_atomically


def test_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "file", b"old")
    write_atomically(tmp_path / "new" / "file", b"new")
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "new").iterdir()] == [("file", b"new")]


def test_failed_write_leaves_the_old_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "file", b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"file cannot be written: No space left on device"):
        write_atomically(tmp_path / "file", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]
