"""Serve the photo page.

The page computes everything itself: this server hands out files of the package, and gets nothing back.  It
holds no secret and keeps no state, so it asks for no token and looks at no ``Host`` header.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pocketpress.core.errors import DeviceError, MissingExtraError
from pocketpress.web import assets

PAGE = "photo.html"
SERVED = ("photo.html", "photo-sw.js", "photo/", "assets/", "runtimes/litert-", "licences/")
"""Beginnings of the paths that belong to the page."""

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The browser itself keeps requests from leaving.  Workers have it from here, the page also from its head."""

MAX_CONNECTIONS = 64
IDLE_S = 30.0


class PhotoServer:
    """The page at an address."""

    def __init__(self, host: str, port: int, *, folder: Path | None = None) -> None:
        """Bind; `serve` starts to answer.

        Args:
            host: address to listen on.
            port: 0 for any free one.
            folder: of the built files, other than the package's.

        Raises:
            MissingExtraError: the page was not built.
            DeviceError: the address cannot be had.
        """
        root = folder or assets.static_folder()
        if not (root / PAGE).is_file():
            raise MissingExtraError(
                "the photo page is not built", got=f"no {PAGE}", next_step="run: make web"
            )

        class Handler(_Handler):
            static = root

        try:
            self._server = _Server((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DeviceError(
                "the photo page cannot be served",
                got=f"{host}:{port}: {reason}",
                next_step="try another --host or --port",
            ) from error
        shown = "127.0.0.1" if host in ("", "0.0.0.0") else host
        self.address = f"http://{shown}:{self._server.server_address[1]}/{PAGE}"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or the process is interrupted."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *given: Any) -> None:
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(*given)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._room:
            super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no error."""


class _Handler(BaseHTTPRequestHandler):
    static: Path
    protocol_version = "HTTP/1.1"
    server_version = "Pocketpress"
    sys_version = ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._head(HTTPStatus.FOUND, (("Location", f"/{PAGE}"), ("Content-Length", "0")))
            return
        encodings = self.headers.get("Accept-Encoding", "")
        asset = (
            assets.find(path, encodings, folder=self.static) if path.lstrip("/").startswith(SERVED) else None
        )
        if asset is None:
            self._head(HTTPStatus.NOT_FOUND, (("Content-Length", "0"),))
            return
        tag = _tag(asset.path, asset.path.stat().st_mtime_ns)
        headers = (*asset.headers, ("ETag", tag), ("Content-Security-Policy", POLICY))
        if tag in self.headers.get("If-None-Match", ""):
            self._head(HTTPStatus.NOT_MODIFIED, headers)
            return
        body = asset.read()
        self._head(HTTPStatus.OK, (*headers, ("Content-Length", str(len(body)))))
        if with_body:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

    def _head(self, status: HTTPStatus, headers: tuple[tuple[str, str], ...]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: stderr is for what the user must know."""


@lru_cache(maxsize=256)
def _tag(path: Path, changed_ns: int) -> str:
    """The file's bytes as a name; ``changed_ns`` is there to forget files that were rebuilt."""
    return f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'
