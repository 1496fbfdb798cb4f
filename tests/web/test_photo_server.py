"""The server of the photo page: what it hands out, and what it does not."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Press
from tests.web.photo_browser import Served, hide_static, served

from pocketpress.core.errors import DeviceError, MissingExtraError
from pocketpress.web.photo_server import PhotoServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Built files as `make web` leaves them, a few bytes each."""
    root = tmp_path / "static"
    for name in (
        "photo.html",
        "photo-sw.js",
        "bench.html",
        "harness.html",
        "assets/main-1.js",
        "photo/tables.npy",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")
    for name in ("runtimes/litert-1/a.js", "runtimes/onnxruntime-1/a.js"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("runtime")
    (tmp_path / "secret.js").write_text("secret")
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[Served]:
    with served(folder) as running:
        yield running


def ask(server: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    place = server.address.split("/")[2]
    connection = http.client.HTTPConnection(place, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_page_and_its_files(server: Served) -> None:
    status, headers, body = ask(server, "/photo.html")
    assert (status, body) == (200, b"this is photo.html")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/photo-sw.js", "/assets/main-1.js", "/photo/tables.npy", "/runtimes/litert-1/a.js"):
        assert ask(server, path)[0] == 200, path


def test_the_root_leads_to_the_page(server: Served) -> None:
    status, headers, _ = ask(server, "/")
    assert (status, headers["Location"]) == (302, "/photo.html")


@pytest.mark.parametrize(
    "path",
    [
        "/bench.html",
        "/harness.html",
        "/runtimes/onnxruntime-1/a.js",
        "/assets/../../secret.js",
        "/photo/../../secret.js",
        "/photo/%2e%2e/%2e%2e/secret.js",
        "/photo/..%5c..%5csecret.js",
        "/photo/",
        "/photo/nothing.png",
        "/" + "a" * 5000,
    ],
)
def test_nothing_else_is_there(server: Served, path: str) -> None:
    status, _, body = ask(server, path)
    assert (status, body) == (404, b"")


def test_a_file_that_is_known_is_not_sent_again(server: Served, folder: Path) -> None:
    _, headers, _ = ask(server, "/photo.html")
    tag = headers["ETag"]
    status, _, body = ask(server, "/photo.html", **{"If-None-Match": tag})
    assert (status, body) == (304, b"")
    (folder / "photo.html").write_text("built again")
    status, headers, body = ask(server, "/photo.html", **{"If-None-Match": tag})
    assert (status, body) == (200, b"built again") and headers["ETag"] != tag


def test_head_says_as_much_without_the_body(server: Served) -> None:
    whole, head = ask(server, "/photo.html"), ask(server, "/photo.html", "HEAD")
    assert head[0] == 200 and head[2] == b""
    assert head[1]["Content-Length"] == whole[1]["Content-Length"] == "18"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_takes_nothing(server: Served, folder: Path, method: str) -> None:
    before = sorted(folder.rglob("*"))
    assert ask(server, "/photo.html", method)[0] == 501
    assert sorted(folder.rglob("*")) == before and (folder / "photo.html").read_text() == "this is photo.html"


def test_a_client_that_talks_nonsense_or_goes_away_does_no_harm(server: Served) -> None:
    host, port = server.address.split("/")[2].split(":")
    for sent in (b"\x00\xff\r\n\r\n", b"GET /photo.html HTTP/1.1\r\n", b""):
        with socket.create_connection((host, int(port)), timeout=30) as one:
            one.sendall(sent)
    assert ask(server, "/photo.html")[0] == 200


def test_a_taken_port_is_one_clear_line(server: Served, folder: Path) -> None:
    port = int(server.address.split(":")[2].split("/")[0])
    with pytest.raises(DeviceError, match=f"127.0.0.1:{port}: .*; try another --host or --port"):
        PhotoServer("127.0.0.1", port, folder=folder)
    assert ask(server, "/photo.html")[0] == 200


def test_without_the_built_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pocketpress: Press) -> None:
    with pytest.raises(MissingExtraError, match="run: make web"):
        PhotoServer("127.0.0.1", 0, folder=tmp_path)
    hide_static(monkeypatch, tmp_path)
    done = pocketpress("app", "photo", "--no-open", "--port", "0")
    assert done.code == 2 and "run: make web" in done.line and done.out == ""
