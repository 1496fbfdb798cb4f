"""The hash that names an artifact: of a file's bytes, or of a folder's files with their names."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Hash of a file, or of a folder's files in the order of their names, names included.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for name in files:
        digest.update(name.relative_to(path).as_posix().encode() if path.is_dir() else b"")
        with name.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
