"""Serve the browser client's files, and published ones, to a browser on this machine.

Bound to 127.0.0.1.  Answers carry the headers of cross-origin isolation (`pocketpress.web.assets`); a request
whose ``Host`` is another is refused, so that no page of the network can reach in by a name of its own (DNS
rebinding).
"""

from __future__ import annotations

import contextlib
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pocketpress.core.errors import DeviceError
from pocketpress.web.assets import ISOLATION, Asset, find

PUBLISHED = "/published/"


class PageServer:
    """A server in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        """Start serving; raises DeviceError when no port can be had."""
        self._folder = folder
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
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, path: Path, token: str) -> str:
        """Serve one more file; returns its address."""
        self._published[token] = path
        return f"{self.address}{PUBLISHED}{token}"

    def withdraw(self, address: str) -> None:
        """Serve a published file no longer."""
        self._published.pop(address.removeprefix(f"{self.address}{PUBLISHED}"), None)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def asset(self, target: str, accepted: str) -> Asset | None:
        """The answer to a request, or None for a file that is not there."""
        path = urlsplit(target).path
        if not path.startswith(PUBLISHED):
            return find(path, accepted, folder=self._folder)
        published = self._published.get(path.removeprefix(PUBLISHED))
        kind = ("Content-Type", "application/octet-stream")
        return (
            None if published is None else Asset(published, (kind, ("Cache-Control", "no-store"), *ISOLATION))
        )


class _Handler(BaseHTTPRequestHandler):
    owner: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Host") != self.owner.host:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            found = self.owner.asset(self.path, self.headers.get("Accept-Encoding", ""))
            content = None if found is None else found.read()
        except OSError:
            found = content = None
        if found is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        for name, value in found.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
