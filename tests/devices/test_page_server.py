"""The server of the pages: its headers, and whom it refuses."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketpress.devices.page_server import PageServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "page.html").write_text("<p>here</p>")
    (folder / "packed.wasm.gz").write_bytes(gzip.compress(b"\0asm" * 100))
    (tmp_path / "secret.txt").write_text("not yours")
    server = PageServer(folder)
    yield server
    server.close()


def get(server: PageServer, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.host, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": server.host, **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_pages_are_cross_origin_isolated(server: PageServer) -> None:
    status, headers, body = get(server, "/page.html")
    assert (status, body) == (200, b"<p>here</p>")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Type"].startswith("text/html")


def test_what_lies_there_compressed_is_said_to_be(server: PageServer) -> None:
    status, headers, body = get(server, "/packed.wasm", **{"Accept-Encoding": "gzip"})
    assert (status, headers["Content-Encoding"], gzip.decompress(body)) == (200, "gzip", b"\0asm" * 100)
    assert headers["Content-Type"] == "application/wasm"
    _, headers, body = get(server, "/packed.wasm", **{"Accept-Encoding": "identity"})
    assert headers["Content-Encoding"] is None and body == b"\0asm" * 100


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/nothing.html", "/", "/published/guess", "/page.html/.."],
)
def test_nothing_else_is_served(server: PageServer, path: str) -> None:
    status, _, body = get(server, path)
    assert status == 404 and b"not yours" not in body


def test_a_foreign_host_is_refused(server: PageServer) -> None:
    status, _, body = get(server, "/page.html", Host="attacker.example")
    assert status == 403 and b"here" not in body


def test_a_published_file_is_served_until_it_is_withdrawn(server: PageServer, tmp_path: Path) -> None:
    address = server.publish(tmp_path / "secret.txt", "a-token")
    path = address.removeprefix(server.address)
    status, headers, body = get(server, path)
    assert (status, body) == (200, b"not yours")
    assert headers["Cache-Control"] == "no-store" and headers["Cross-Origin-Resource-Policy"] == "same-origin"
    server.withdraw(address)
    assert get(server, path)[0] == 404


def test_a_published_file_that_is_gone_is_not_found(server: PageServer, tmp_path: Path) -> None:
    address = server.publish(tmp_path / "gone.bin", "t")
    assert get(server, address.removeprefix(server.address))[0] == 404
