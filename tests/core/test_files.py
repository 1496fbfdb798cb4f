"""Files are whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from pocketpress.core.errors import DeviceError
from pocketpress.core.files import locked, write_atomically


def test_content_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"one", parents=True)
    write_atomically(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two" and [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o600 == 0o600


def test_nothing_is_left_behind_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        DeviceError, match=r"cannot write file: got No space left on device in .*; delete some"
    ):
        write_atomically(path, half, next_step="delete some")

    def broken(file: IO[bytes]) -> None:
        raise KeyError("a mistake of the writer")

    with pytest.raises(KeyError):
        write_atomically(path, broken)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot write file: got No such file or directory"):
        write_atomically(tmp_path / "none" / "file", b"")
    assert not (tmp_path / "none").exists()


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path) as first, locked(tmp_path, wait=False) as second:
        assert first and not second
    with locked(tmp_path, wait=False) as again:
        assert again
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No such file"), locked(tmp_path / "absent"):
        pass
