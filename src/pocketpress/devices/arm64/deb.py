"""Unpack a Debian package without Debian's tools: an `ar` file that holds a compressed tar file.

The file's hash is checked before (`download`), the reader is careful all the same: every size is limited, no
path leaves the folder, and nothing but folders, plain files and links inside it is made.
"""

from __future__ import annotations

import gzip
import lzma
import posixpath
import tarfile
from pathlib import Path
from typing import IO, cast

from pocketpress.core.errors import DeviceError

AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60
MAX_MEMBERS = 16
MAX_FILES = 20_000
MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 1 << 30
PIECE_BYTES = 1 << 20
XZ, GZ = "data.tar.xz", "data.tar.gz"


def unpack(package: Path, into: Path, only: frozenset[str] | None = None) -> int:
    """Unpack the files of a package.

    Args:
        package: a ``.deb`` file.
        into: an existing folder.
        only: paths, as ``usr/bin/qemu-aarch64``; everything by default.

    Returns:
        Bytes written.

    Raises:
        DeviceError: not such a file, damaged, over a limit, without one of the paths asked for, or with a
            path that leaves the folder; what was unpacked before stays.
    """
    try:
        with package.open("rb") as file:
            name, size = _data_member(file, package.name)
            part = cast("IO[bytes]", _Part(file, size))
            with lzma.LZMAFile(part) if name == XZ else gzip.GzipFile(fileobj=part) as data:
                return _unpack_tar(cast("IO[bytes]", data), into, only, package.name)
    except (lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, EOFError) as error:
        raise _damaged(package.name, str(error)) from error
    except OSError as error:
        raise DeviceError(f"cannot unpack {package.name}", got=error.strerror or error) from error


def _damaged(name: str, how: str) -> DeviceError:
    return DeviceError(f"{name} is damaged", got=how, next_step="remove it and set up again")


def _data_member(file: IO[bytes], name: str) -> tuple[str, int]:
    """Seek to the member that holds the files; its name and size."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise _damaged(name, "no Debian package")
    for _ in range(MAX_MEMBERS):
        header = file.read(AR_HEADER_BYTES)
        if len(header) < AR_HEADER_BYTES or header[58:] != b"`\n":
            break
        member = header[:16].decode("ascii", "replace").strip().rstrip("/")
        digits = header[48:58].strip()
        if not digits.isdigit():
            break
        size = int(digits)
        if member in (XZ, GZ):
            return member, size
        file.seek(size + size % 2, 1)
    raise _damaged(name, f"no member {XZ} or {GZ}")


class _Part:
    """The next bytes of a file, so many of them."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; none at the end of the part."""
        wanted = self._left if size < 0 else min(size, self._left)
        content = self._file.read(wanted)
        self._left -= len(content)
        return content


def _unpack_tar(data: IO[bytes], into: Path, only: frozenset[str] | None, package: str) -> int:
    total, missing = 0, set(only or ())
    with tarfile.open(fileobj=data, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count >= MAX_FILES:
                raise _damaged(package, f"more than {MAX_FILES} files")
            name = _inside(member.name, package)
            if not name or (only is not None and name not in only):
                continue
            total += member.size if member.isreg() else 0
            if member.size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES:
                raise _damaged(package, f"{name} is over the limit on sizes")
            _make(archive, member, name, into, package)
            missing.discard(name)
            if only is not None and not missing:
                return total
    _drain(data, package)
    if missing:
        raise _damaged(package, f"without {', '.join(sorted(missing))}")
    return total


def _drain(data: IO[bytes], package: str) -> None:
    """Read what follows the last file: a package that was cut short says so only there."""
    left = MAX_TOTAL_BYTES
    while left > 0 and (piece := data.read(PIECE_BYTES)):
        left -= len(piece)
    if left <= 0:
        raise _damaged(package, "over the limit on sizes")


def _inside(path: str, package: str) -> str:
    """A path below the folder, or an error."""
    clean = posixpath.normpath(path)
    if path.startswith("/") or clean.split("/")[0] == ".." or "\0" in path:
        raise _damaged(package, f"a path that leaves the folder: {path!r}")
    return "" if clean == "." else clean


def _make(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, into: Path, package: str) -> None:
    target = into / name
    if not target.parent.resolve().is_relative_to(into.resolve()):
        raise _damaged(package, f"a path through a link that leaves the folder: {name!r}")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    link = _link(member.linkname, name, package) if member.issym() else ""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    if member.issym():
        target.symlink_to(link)
    elif member.islnk():
        source = into / _inside(member.linkname, package)
        if source.is_symlink() or not source.resolve().is_relative_to(into.resolve()):
            raise _damaged(package, f"a hard link that leaves the folder: {name!r}")
        target.hardlink_to(source)
    elif member.isreg():
        _write(cast("IO[bytes]", archive.extractfile(member)), target)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
    else:
        raise _damaged(package, f"{name} is neither a file, a folder nor a link")


def _write(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        while piece := source.read(PIECE_BYTES):
            file.write(piece)


def _link(link: str, name: str, package: str) -> str:
    """A link's text, made relative to its own folder; one that leaves the folder is an error."""
    base = posixpath.dirname(name)
    aim = link[1:] if link.startswith("/") else posixpath.join(base, link)
    return posixpath.relpath(_inside(aim, package) or ".", base or ".")
