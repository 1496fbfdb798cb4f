"""A site on loopback that serves the built files, and artifacts, to a real browser."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pocketpress.devices import chromium
from pocketpress.web import assets

ARTIFACTS = Path(__file__).parents[2] / "web" / "test" / "artifacts"
LAN = "phone.test"
"""A name that the browser maps to 127.0.0.1 and takes for another machine: over plain http not secure."""

FLAGS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {LAN} 127.0.0.1",
)


class Site:
    """What it serves: the built files, ``/artifacts/NAME``, and pages made of a title.

    A page's address may say ``?isolated=no``: it is sent without the headers that threads need.  ``headers``
    are sent with everything, ``requests`` are (path, content encoding, bytes) of what was asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {f"/artifacts/{p.name}": p.read_bytes() for p in ARTIFACTS.iterdir()}
        self.types: dict[str, str] = {}
        self.requests: list[tuple[str, str, int]] = []
        self.headers: tuple[tuple[str, str], ...] = ()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        status, headers, body = self._found(url.path, handler.headers.get("Accept-Encoding", ""))
        if parse_qs(url.query).get("isolated") == ["no"]:
            headers = tuple((k, v) for k, v in headers if not k.startswith("Cross-Origin"))
        self.requests.append((url.path, dict(headers).get("Content-Encoding", ""), len(body)))
        handler.send_response(status)
        for name, value in (*headers, *self.headers, ("Content-Length", str(len(body)))):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _found(self, path: str, accepted: str) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        if path == "/blank":
            return (
                200,
                (("Content-Type", "text/html"), *assets.ISOLATION),
                b"<!doctype html><title>test</title>",
            )
        if path in self.files:
            kind = self.types.get(path, "application/octet-stream")
            return 200, (("Content-Type", kind), *assets.ISOLATION), self.files[path]
        asset = assets.find(path, accepted)
        return (404, (), b"") if asset is None else (200, asset.headers, asset.read())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def need_browser() -> str:
    """The path of a browser; skips where something is missing."""
    if (lacking := chromium.obstacle()) is not None:
        pytest.skip(lacking)
    need_built()
    return str(chromium.find())


def need_built() -> Path:
    """The folder of the built files; skips where they were not built."""
    if not assets.STATIC.is_dir():
        pytest.skip("the web pages are not built: run make web")
    return assets.static_folder()


def launch(browser_type: Any, *flags: str, gpu: bool = False) -> Any:
    """Start a headless browser, as Playwright gives it."""
    given = ["--no-sandbox", *FLAGS, *(() if gpu else ("--disable-gpu",)), *flags]
    return browser_type.launch(executable_path=need_browser(), args=given, headless=True)
