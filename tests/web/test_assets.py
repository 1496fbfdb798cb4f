"""Which file answers a request, in which form and with which headers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pocketpress.core.errors import MissingExtraError
from pocketpress.web import assets

BROTLI = b"stands for brotli"
WASM = b"\0asm" * 500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "page.html": b"<!doctype html>",
        "assets/pocketpress.js": b"export {};",
        "assets/chunk-abc.js": b"export {};",
        "assets/secret.key": b"never",
        "runtimes/x-1/x.wasm.gz": gzip.compress(WASM, mtime=0),
        "runtimes/x-1/x.wasm.br": BROTLI,
    }
    for name, content in files.items():
        path = tmp_path / "static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "outside.js").write_bytes(b"never")
    return tmp_path / "static"


def header(asset: assets.Asset | None, name: str) -> str | None:
    assert asset is not None
    return dict(asset.headers).get(name)


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [
        ("gzip, deflate, br, zstd", "br", BROTLI),
        ("gzip, deflate", "gzip", gzip.compress(WASM, mtime=0)),
        ("br;q=0, gzip;q=0.5", "gzip", gzip.compress(WASM, mtime=0)),
        ("brotli, x-gzip", None, WASM),
        ("", None, WASM),
    ],
)
def test_a_large_file_is_sent_in_a_form_that_the_client_takes(
    folder: Path, accepted: str, encoding: str | None, body: bytes
) -> None:
    asset = assets.find("/runtimes/x-1/x.wasm", accepted, folder=folder)
    assert asset is not None and asset.read() == body
    assert header(asset, "Content-Encoding") == encoding
    assert header(asset, "Content-Type") == "application/wasm"
    assert header(asset, "Vary") == "Accept-Encoding"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/page.html", "no-cache"),
        ("/assets/pocketpress.js", "no-cache"),
        ("/assets/chunk-abc.js", "public, max-age=31536000, immutable"),
        ("/runtimes/x-1/x.wasm", "public, max-age=31536000, immutable"),
    ],
)
def test_what_never_changes_is_kept(folder: Path, path: str, kept: str) -> None:
    assert header(assets.find(path, folder=folder), "Cache-Control") == kept


def test_pages_are_isolated(folder: Path) -> None:
    asset = assets.find("page.html", folder=folder)
    assert header(asset, "Cross-Origin-Opener-Policy") == "same-origin"
    assert header(asset, "Cross-Origin-Embedder-Policy") == "require-corp"
    assert header(asset, "X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/assets",
        "/assets/",
        "/missing.js",
        "/assets/secret.key",
        "/runtimes/x-1/x.wasm.gz",
        "/../outside.js",
        "/%2e%2e/outside.js",
        "/assets/..%2f..%2foutside.js",
        "/assets/../../outside.js",
        "/..\\outside.js",
        "//etc/passwd.js",
        "/c:/outside.js",
        "/page\0.html",
        "/" + "a/" * 300 + "x.js",
    ],
)
def test_nothing_else_is_sent(folder: Path, path: str) -> None:
    assert assets.find(path, "gzip, br", folder=folder) is None


def test_without_a_build_the_error_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "STATIC", tmp_path / "static")
    with pytest.raises(MissingExtraError) as caught:
        assets.find("/page.html")
    assert str(caught.value) == "the web pages are not built: got no static folder; run: make web"
