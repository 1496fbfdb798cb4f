"""The page's own files: a fixed list, read when the server starts.  What is not on it does not exist."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path

ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
TYPES = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json",
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json",
}  # fmt: skip
MAX_FILES = 2000


@dataclass(frozen=True)
class Served:
    """A file and how it is sent."""

    path: Path
    media_type: str
    encoding: str | None
    compressible: bool


class Files:
    """Regular files below a folder, by their path in addresses; links are left out."""

    def __init__(self, folder: Path) -> None:
        root = folder.resolve()
        found = [p for p in sorted(root.rglob("*")) if p.is_file() and not p.is_symlink()]
        self._files = {p.relative_to(root).as_posix(): p for p in found[:MAX_FILES]}

    def __len__(self) -> int:
        return len(self._files)

    def find(self, name: str, accepted: str) -> Served | None:
        """A file as a browser that sends ``Accept-Encoding: accepted`` gets it; compressed where both can."""
        plain = self._files.get(name)
        packed = {e: self._files.get(name + suffix) for e, suffix in ENCODINGS}
        offered = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
        for encoding, path in packed.items():
            if path is not None and encoding in offered:
                return Served(path, _type(name), encoding, True)
        if plain is None:
            return None
        return Served(plain, _type(name), None, any(packed.values()))


def _type(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
