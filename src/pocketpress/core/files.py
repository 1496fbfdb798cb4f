"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from pocketpress.core.errors import DeviceError

Content = bytes | Callable[[IO[bytes]], object]
"""Bytes, or what writes them to a file."""


def write_atomically(
    path: Path,
    content: Content,
    *,
    parents: bool = False,
    next_step: str = "check the folder, its permissions and the free space",
) -> None:
    """Write a file through a temporary name in the same folder and a rename.

    Args:
        path: of the file; one that is there is replaced.
        content: of the file.
        parents: make the folder where it is missing.
        next_step: of the error.

    Raises:
        DeviceError: the disk or the folder refuses; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise DeviceError(
            f"cannot write {path.name}", got=f"{error.strerror} in {path.parent}", next_step=next_step
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an existing folder for this process alone: what is read there is still so when it is written.

    The system releases the lock however this process ends.  Where there is none, on Windows and on some
    network disks, the block runs all the same.

    Args:
        folder: to hold.
        wait: for another process that holds it; else the block is told that one does.

    Yields:
        Whether no other process holds it.

    Raises:
        OSError: the folder cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield True
        return
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    finally:
        os.close(handle)


def _flock(handle: int, how: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True
