"""Downloads from a real server on this machine: broken, altered, resumed, moved."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from pocketpress.core.errors import DeviceError, TrustError
from pocketpress.devices.arm64.download import TRIES, Remote, fetch

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT under any path but /absent; what it does wrong is set on the class."""

    ranges: ClassVar[list[str | None]] = []
    stop_after: ClassVar[int | None] = None
    understands_ranges: ClassVar[bool] = True
    content: ClassVar[bytes] = CONTENT

    def do_GET(self) -> None:
        if self.path.startswith("/absent"):
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        type(self).ranges.append(asked)
        start = int(asked[6:-1]) if asked and self.understands_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        part = self.content[start:]
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.stop_after])

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.ranges, Handler.stop_after, Handler.understands_ranges = [], None, True
    Handler.content = CONTENT
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


def remote(*urls: str) -> Remote:
    return Remote(urls, len(CONTENT), SHA256)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives(server: str, tmp_path: Path) -> None:
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT and files(tmp_path) == ["x"]
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert Handler.ranges == [None], "it was there"


def test_a_broken_connection_goes_on_where_it_was(server: str, tmp_path: Path) -> None:
    Handler.stop_after = 40_000
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert Handler.ranges == [None, "bytes=40000-", "bytes=80000-"]
    assert (tmp_path / "x").read_bytes() == CONTENT and files(tmp_path) == ["x"]


def test_one_that_breaks_again_and_again_is_kept_for_the_next_time(server: str, tmp_path: Path) -> None:
    Handler.stop_after = 1000
    with pytest.raises(DeviceError, match=r"the connection broke.*Run the same command again"):
        fetch(remote(f"{server}/x"), tmp_path / "x")
    assert files(tmp_path) == ["x.part"]
    assert (tmp_path / "x.part").read_bytes() == CONTENT[: TRIES * 1000]
    Handler.stop_after = None
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert Handler.ranges[-1] == f"bytes={TRIES * 1000}-"
    assert (tmp_path / "x").read_bytes() == CONTENT and files(tmp_path) == ["x"]


def test_a_server_without_ranges_starts_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT[:5000])
    Handler.understands_ranges = False
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_an_altered_file_is_not_kept(server: str, tmp_path: Path) -> None:
    Handler.content = CONTENT[:-1] + b"!"
    with pytest.raises(TrustError, match="not the file that was expected"):
        fetch(remote(f"{server}/x"), tmp_path / "x")
    assert files(tmp_path) == []


def test_a_tampered_part_is_not_kept(server: str, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(b"!" * 5000)
    with pytest.raises(TrustError):
        fetch(remote(f"{server}/x"), tmp_path / "x")
    assert files(tmp_path) == []
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_tampered_file_is_fetched_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT[:-1] + b"!")
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_an_endless_answer_is_cut(server: str, tmp_path: Path) -> None:
    Handler.content = CONTENT + b"more" * 100_000
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").stat().st_size == len(CONTENT)


def test_a_part_that_is_too_long_starts_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    fetch(remote(f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT and Handler.ranges == [None]


def test_the_second_source(server: str, tmp_path: Path) -> None:
    fetch(remote(f"{server}/absent", f"{server}/x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    with pytest.raises(DeviceError, match="absent: 404"):
        fetch(remote(f"{server}/absent", f"{server}/absent2"), tmp_path / "y")
    assert files(tmp_path) == ["x"]


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot fetch x"):
        fetch(remote("http://127.0.0.1:9/x"), tmp_path / "x")
    assert files(tmp_path) == []
