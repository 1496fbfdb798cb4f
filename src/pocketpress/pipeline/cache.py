"""A cache keyed by content: what was computed from the same bytes and options is not computed again."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pocketpress


class Cache:
    """A folder of entries, each a folder named by its key; writing is atomic, a damaged entry is a miss."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @staticmethod
    def key(kind: str, *parts: Any) -> str:
        """Key of what is made from ``parts`` (anything JSON can write), by these files of Pocketpress."""
        return fingerprint(kind, _sources(), *parts)

    def get(self, key: str) -> Path | None:
        """The entry's folder, or None."""
        if self.folder is None:
            return None
        entry = self.folder / key
        return entry if (entry / "complete").is_file() else None

    def put(self, key: str, files: dict[str, bytes | Path]) -> None:
        """Store files (bytes, or a file or folder to copy); a failure to store is no failure."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        except OSError:
            return
        try:
            for name, content in files.items():
                _copy(content, temporary / name)
            (temporary / "complete").write_text("")
            if not (self.folder / key).exists():
                temporary.replace(self.folder / key)
        except OSError:
            pass
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def fingerprint(kind: str, *parts: Any) -> str:
    """Of ``parts`` (anything JSON can write), for this version of Pocketpress."""
    text = json.dumps([pocketpress.__version__, kind, *parts], sort_keys=True, default=str)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


@functools.cache
def _sources() -> str:
    """Changes when a file of the package does: who edits Pocketpress is not served what it made before."""
    package = Path(pocketpress.__file__).parent
    found = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    listed = [(path.relative_to(package).as_posix(), at.st_size, at.st_mtime_ns) for path, at in found]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _copy(content: bytes | Path, to: Path) -> None:
    if isinstance(content, bytes):
        to.write_bytes(content)
    elif content.is_dir():
        shutil.copytree(content, to)
    else:
        shutil.copyfile(content, to)


def default_folder() -> Path:
    """``$POCKETPRESS_CACHE``, or ``pocketpress`` in the user's cache folder."""
    given = os.environ.get("POCKETPRESS_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pocketpress"
