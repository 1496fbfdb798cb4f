"""Fetch a file whose hash is known; an interrupted download goes on where it stopped.

What has arrived lies under the name ``NAME.part``, and gets its name only once size and hash are right.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pocketpress.core.errors import DeviceError, TrustError

TRIES = 3
SILENCE_S = 30.0
PIECE_BYTES = 1 << 18
AGAIN = "is there a network?  Run the same command again: what has arrived is kept"


@dataclass(frozen=True)
class Remote:
    """A file to fetch.

    Attributes:
        urls: where it is, the first that has it is taken.
        size_bytes: of it.
        sha256: of it, in hexadecimal.
    """

    urls: tuple[str, ...]
    size_bytes: int
    sha256: str


def fetch(remote: Remote, to: Path) -> None:
    """Bring a file to its place; one that is there already is checked, not fetched.

    Raises:
        DeviceError: no source can be reached, or the connection breaks again and again; what has arrived is
            kept for the next time.
        TrustError: what was fetched is another file; it is not kept.
    """
    if to.is_file():
        if _hash(to) == remote.sha256:
            return
        to.unlink()
    part = to.with_name(to.name + ".part")
    reasons: list[str] = []
    for url in remote.urls:
        reason = _fetched(url, remote, part)
        if reason is None:
            _check(remote, part, url)
            part.replace(to)
            return
        reasons.append(reason)
    raise DeviceError(f"cannot fetch {to.name}", got="; ".join(dict.fromkeys(reasons)), next_step=AGAIN)


def _fetched(url: str, remote: Remote, part: Path) -> str | None:
    """Fetch what is missing of one source; why that failed, or None."""
    reason = ""
    for _ in range(TRIES):
        try:
            _append(url, remote, part)
        except urllib.error.HTTPError as error:
            return f"{url}: {error.code} {error.reason}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
            continue
        if part.stat().st_size >= remote.size_bytes:
            return None
        reason = "the connection broke"
    return f"{url}: {reason}"


def _append(url: str, remote: Remote, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have > remote.size_bytes:
        part.unlink()
        have = 0
    if have == remote.size_bytes:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "pocketpress"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:
        goes_on = answer.status == 206 and _first_byte(answer.headers.get("Content-Range", "")) == have
        with part.open("ab" if goes_on else "wb") as file:
            _copy(answer, file, remote.size_bytes - (have if goes_on else 0))


def _first_byte(content_range: str) -> int | None:
    """The first byte of ``bytes 100-199/200``."""
    first = content_range.removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _copy(source: IO[bytes], target: IO[bytes], limit_bytes: int) -> None:
    while limit_bytes > 0 and (piece := source.read(min(PIECE_BYTES, limit_bytes))):
        target.write(piece)
        limit_bytes -= len(piece)


def _check(remote: Remote, part: Path, url: str) -> None:
    found = _hash(part)
    if found != remote.sha256:
        part.unlink()
        raise TrustError(
            f"{part.name.removesuffix('.part')} is not the file that was expected",
            got=f"SHA-256 {found[:16]}… from {url}",
            allowed=f"{remote.sha256[:16]}…",
            next_step="it was removed; run the same command again",
        )


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
