"""Which file answers a request for a page or a runtime, and with which headers.

The files are built from ``web/`` by ``make web``.  Large ones lie there in compressed form only: ``.br``,
which browsers take on https and on localhost, and ``.gz``, which they take everywhere.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pocketpress.core.errors import MissingExtraError

STATIC = Path(__file__).resolve().parent / "static"
MAX_PATH_CHARACTERS = 512

ISOLATION = (
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)
"""A browser gives threads to pages that were sent with these only."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".tflite": "application/octet-stream",
    ".npy": "application/octet-stream",
}
_FORMS = (("br", ".br"), ("gzip", ".gz"))
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True)
class Asset:
    """The answer to a request.

    Attributes:
        path: file whose bytes are the body, as they are unless ``inflate``.
        headers: all that the answer needs but for its length.
        inflate: the body is what ``path`` holds compressed, for a client that takes no compressed form.
    """

    path: Path
    headers: tuple[tuple[str, str], ...]
    inflate: bool = False

    def read(self) -> bytes:
        """The body."""
        content = self.path.read_bytes()
        return gzip.decompress(content) if self.inflate else content


def static_folder() -> Path:
    """The folder of the built files.

    Raises:
        MissingExtraError: they were not built.
    """
    if not (STATIC / "assets" / "pocketpress.js").is_file():
        raise MissingExtraError(
            "the web pages are not built", got=f"no {STATIC.name} folder", next_step="run: make web"
        )
    return STATIC


def find(request_path: str, accept_encoding: str = "", *, folder: Path | None = None) -> Asset | None:
    """The file for a request.

    Args:
        request_path: path of the address, percent-encoded, with or without a slash before it.
        accept_encoding: the request's header of that name.
        folder: other than `static_folder`.

    Returns:
        None where there is no such file: answer 404.

    Raises:
        MissingExtraError: the pages were not built.
    """
    root = folder or static_folder()
    name = _safe(request_path)
    kind = TYPES.get(Path(name).suffix) if name else None
    if name is None or kind is None:
        return None
    plain = root / name
    headers = (
        ("Content-Type", kind),
        ("Cache-Control", _keep(name)),
        ("Vary", "Accept-Encoding"),
        *ISOLATION,
    )
    for encoding, suffix in _FORMS:
        small = plain.with_name(plain.name + suffix)
        if _accepts(accept_encoding, encoding) and small.is_file():
            return Asset(small, (*headers, ("Content-Encoding", encoding)))
    if plain.is_file():
        return Asset(plain, headers)
    zipped = plain.with_name(f"{plain.name}.gz")
    return Asset(zipped, headers, inflate=True) if zipped.is_file() else None


def _safe(request_path: str) -> str | None:
    """The path inside the folder, or None for one that could lead out of it."""
    if len(request_path) > MAX_PATH_CHARACTERS:
        return None
    parts = unquote(request_path).removeprefix("/").split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or set(part) & set("\\:") for part in parts):
        return None
    return "/".join(parts)


def _keep(name: str) -> str:
    """Names of versions and hashes never stand for other bytes; pages and the library itself do."""
    folder, _, file = name.rpartition("/")
    versioned = folder.startswith("runtimes/") or (folder == "assets" and file != "pocketpress.js")
    return _FOREVER if versioned else _ASK_AGAIN


def _accepts(header: str, encoding: str) -> bool:
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name == encoding:
            return not any(p.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for p in parameters)
    return False
