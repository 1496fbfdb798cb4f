"""Serve the pages of one folder, and published files, to a browser on this machine.

Bound to 127.0.0.1.  Answers carry the headers of cross-origin isolation; a request whose ``Host`` is another
is refused, so that no page of the network can reach in by a name of its own (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import mimetypes
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pocketpress.core.errors import DeviceError

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
ENCODINGS = ((".br", "br"), (".gz", "gzip"))
"""Files that lie there compressed, by their suffix."""
PUBLISHED = "/published/"


class PageServer:
    """A server in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        """Start serving; raises DeviceError when no port can be had."""
        self._folder = folder.resolve()
        self._published: dict[str, Path] = {}
        server = self

        class Handler(_Handler):
            owner = server

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        except OSError as error:
            raise DeviceError("cannot serve pages on 127.0.0.1", got=error.strerror) from error
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.address = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def publish(self, path: Path, token: str) -> str:
        """Serve a file outside the folder; returns its address."""
        self._published[token] = path
        return f"{self.address}{PUBLISHED}{token}/{path.name}"

    def withdraw(self, address: str) -> None:
        """Serve a published file no longer."""
        self._published.pop(address.removeprefix(f"{self.address}{PUBLISHED}").partition("/")[0], None)

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._server.shutdown()
        self._server.server_close()

    def file_of(self, target: str, accepted: str) -> tuple[Path, str | None] | None:
        """The file behind a request's path, and the encoding it lies there in; None for nothing."""
        path = unquote(urlsplit(target).path)
        if path.startswith(PUBLISHED):
            published = self._published.get(path.removeprefix(PUBLISHED).partition("/")[0])
            return None if published is None else (published, None)
        wanted = (self._folder / path.lstrip("/")).resolve()
        if not wanted.is_relative_to(self._folder):
            return None
        if wanted.is_file():
            return wanted, None
        for suffix, encoding in ENCODINGS:
            packed = wanted.with_name(wanted.name + suffix)
            if packed.is_file() and encoding in accepted:
                return packed, encoding
        return None


class _Handler(BaseHTTPRequestHandler):
    owner: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Host") != self.owner.host:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            found = self.owner.file_of(self.path, self.headers.get("Accept-Encoding", ""))
            content = None if found is None else found[0].read_bytes()
        except (OSError, ValueError):
            found, content = None, None
        if found is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        path, encoding = found
        self.send_response(HTTPStatus.OK)
        named = path.name.removesuffix(f".{'gz' if encoding == 'gzip' else encoding}") if encoding else path.name
        self.send_header("Content-Type", _type_of(named))
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _type_of(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
