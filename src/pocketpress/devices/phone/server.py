"""The server that phones talk to: a page, artifacts, golden samples, and results that come back.

Every address starts with a token that is made for this run; whoever does not know it gets 403 and nothing
else.  The Host header must be one of the server's own names, so that no page of another origin reaches it
through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import hmac
import importlib.util
import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pocketpress.core.errors import ArtifactError, DeviceError, MissingExtraError, PocketpressError
from pocketpress.devices.phone.addresses import Addresses, bracketed
from pocketpress.devices.phone.messages import (
    MAX_BODY_BYTES,
    Beat,
    Bye,
    Hello,
    Message,
    Result,
    parse,
)
from pocketpress.devices.phone.sessions import Sessions
from pocketpress.web.assets import find

if TYPE_CHECKING:
    import ssl

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

TOKEN_BYTES = 18
START_S = 10.0
STOP_S = 3
MAX_CONNECTIONS = 1000
IDENTITY = "pocketpress-phone"
"""Cookie with a phone's identity: unlike what a page stores, it outlives a change of the port."""
IDENTITY_S = 400 * 24 * 3600
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
REFUSED = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pocketpress: not this address</title>
<h1>This address is not valid</h1>
<p>It belongs to another run of <code>pocketpress bench</code>, or is not complete.
Scan the code in the terminal again.</p></html>
"""


@dataclass(frozen=True)
class Content:
    """What phones may fetch.

    Attributes:
        page: folder of the built web pages.
        start: name of the page in it.
        job: what is to be done, as JSON can write it.
        artifacts: files by SHA-256.
        golden: samples by name.
    """

    page: Path
    start: str
    job: Mapping[str, Any]
    artifacts: Mapping[str, Path]
    golden: Mapping[str, bytes]


@dataclass
class Arrivals:
    """What the server and the command share.

    Attributes:
        sessions: the phones.
        inbox: results that were taken, for the command to judge.
        table: what pages show of all phones, set by the command.
        ended: the command is about to end.
    """

    sessions: Sessions
    inbox: queue.Queue[Result] = field(default_factory=queue.Queue)
    table: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False


M = TypeVar("M", bound=Message)


class App:
    """The routes.  `build` makes the application; everything here runs in the server's thread."""

    def __init__(self, content: Content, arrivals: Arrivals, clock: Callable[[], float]) -> None:
        self.content, self.arrivals, self.clock = content, arrivals, clock

    async def page(self, request: Request) -> Response:
        """The start page."""
        return self._file(self.content.start, request)

    async def file(self, request: Request) -> Response:
        """A script, style or runtime of the page."""
        return self._file(str(request.path_params["name"]), request)

    def _file(self, name: str, request: Request) -> Response:
        from starlette.responses import FileResponse, Response

        asset = find(name, request.headers.get("accept-encoding", ""), folder=self.content.page)
        if asset is None:
            return _text(404, "no such file")
        headers = {k: v for k, v in asset.headers if k not in HEADERS}
        if name == self.content.start:
            headers["Cache-Control"] = "no-store"
        if asset.inflate:
            return Response(asset.read(), headers=headers)
        return FileResponse(asset.path, headers=headers)

    async def job(self, request: Request) -> Response:
        """What is to be done."""
        return _json(dict(self.content.job))

    async def artifact(self, request: Request) -> Response:
        """The bytes of an artifact, from the disk in blocks."""
        from starlette.responses import FileResponse

        path = self.content.artifacts.get(str(request.path_params["sha256"]))
        if path is None or not path.is_file():
            return _text(404, "no such artifact")
        headers = {"Cache-Control": "no-store"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    async def golden(self, request: Request) -> Response:
        """Golden samples of an artifact."""
        from starlette.responses import Response

        content = self.content.golden.get(str(request.path_params["name"]))
        if content is None:
            return _text(404, "no such samples")
        return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    async def hello(self, request: Request) -> Response:
        """A page says who it is."""
        message = await _message(Hello, request)
        welcome = self.arrivals.sessions.hello(message, self.clock())
        answer = self._answer(name=welcome.name, lease=welcome.lease, done=list(welcome.done))
        answer.set_cookie(IDENTITY, message.phone, max_age=IDENTITY_S, path="/", samesite="strict")
        return answer

    async def beat(self, request: Request) -> Response:
        """A page is alive."""
        message = await _message(Beat, request)
        return self._answer(lease=self.arrivals.sessions.beat(message, self.clock()))

    async def result(self, request: Request) -> Response:
        """A result."""
        message = await _message(Result, request)
        new = self.arrivals.sessions.result(message, self.clock())
        if new:
            self.arrivals.inbox.put(message)
        return self._answer(lease=True, new=new)

    async def bye(self, request: Request) -> Response:
        """A page is being closed."""
        self.arrivals.sessions.bye(await _message(Bye, request))
        return self._answer(lease=False)

    def _answer(self, **facts: Any) -> Response:
        return _json({**facts, "table": self.arrivals.table, "ended": self.arrivals.ended})

    def build(self, token: str, hosts: Callable[[], frozenset[str]]) -> Callable[..., Awaitable[None]]:
        """The whole application behind its guard."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = [
            Route("/", self.page),
            Route("/api/job", self.job),
            Route("/api/artifacts/{sha256}", self.artifact),
            Route("/api/golden/{name}", self.golden),
            Route("/api/hello", self.hello, methods=["POST"]),
            Route("/api/beat", self.beat, methods=["POST"]),
            Route("/api/result", self.result, methods=["POST"]),
            Route("/api/bye", self.bye, methods=["POST"]),
            Route("/{name:path}", self.file),
        ]
        inner = Starlette(routes=routes, exception_handlers={PocketpressError: _refusal})
        return guarded(inner, token, hosts)


def guarded(
    inner: Starlette, token: str, hosts: Callable[[], frozenset[str]]
) -> Callable[..., Awaitable[None]]:
    """Host header, then token, then the application; every answer carries the same strict headers."""
    from starlette.responses import HTMLResponse

    extra = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(event: Any) -> None:
            if event["type"] == "http.response.start":
                event = {**event, "headers": [*event.get("headers", []), *extra]}
            await send(event)

        given = dict(scope["headers"])
        own = given.get(b"host", b"").decode("latin-1").lower()
        origin = given.get(b"origin")
        path = scope["path"].lstrip("/")
        first, slash, rest = path.partition("/")
        if own not in hosts():
            await _text(421, "this server does not go by that name")(scope, receive, send_with_headers)
        elif not hmac.compare_digest(first.encode(), token.encode()) or not slash:
            await HTMLResponse(REFUSED, 403)(scope, receive, send_with_headers)
        elif origin is not None and origin.decode("latin-1").partition("://")[2].lower() != own:
            await _text(403, "another origin")(scope, receive, send_with_headers)
        else:
            inside = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
            await inner(inside, receive, send_with_headers)

    return app


async def _message(kind: type[M], request: Request) -> M:
    """Read a body of limited size and parse it."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise ArtifactError("message is too long", got=f"over {MAX_BODY_BYTES} bytes")
    return parse(kind, bytes(body))


async def _refusal(request: Request, error: Exception) -> Response:
    status = 400 if isinstance(error, ArtifactError) else 409
    return _json({"error": str(error)}, status)


def _json(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Response(text, status, {"Cache-Control": "no-store"}, "application/json")


def _text(status: int, text: str) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text + "\n", status, {"Cache-Control": "no-store"})


class Server:
    """A running server.

    Attributes:
        address: what a phone opens, token included.
        others: the same by the machine's other names.
        port: that it listens on.
    """

    def __init__(self, at: Addresses, port: int, tls: ssl.SSLContext | None, token: str) -> None:
        scheme = "http" if tls is None else "https"
        self.port, self.token = port, token
        lines = [f"{scheme}://{bracketed(name)}:{port}/{token}/" for name in at.names]
        self.address, self.others = lines[0], tuple(lines[1:])


def check_installed() -> None:
    """Raise MissingExtraError where the server's packages are not installed."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "phones need a server that is not installed",
            got=f"missing {', '.join(missing)}",
            next_step="run: pip install 'pocketpress[phone]'",
        )


@contextlib.contextmanager
def serving(
    content: Content,
    arrivals: Arrivals,
    at: Addresses,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Server]:
    """Serve in a thread while the block runs.

    Args:
        content: what phones may fetch.
        arrivals: where what they send goes.
        at: where to listen.
        port: 0 for a free one.
        tls: for https.

    Raises:
        DeviceError: the address or the port cannot be listened on.
        MissingExtraError: starlette or uvicorn is not installed.
    """
    check_installed()
    import uvicorn

    listening = _listen(at.bind, port)
    server = Server(at, listening.getsockname()[1], tls, secrets.token_urlsafe(TOKEN_BYTES))
    hosts = at.hosts(server.port)
    app = App(content, arrivals, time.monotonic).build(server.token, lambda: hosts)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=STOP_S,
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + START_S
        while not running.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        if not running.started:
            raise DeviceError("the server does not start", got=f"{at.bind}:{server.port}")
        yield server
    finally:
        running.should_exit = True
        thread.join(STOP_S + 2)
        running.force_exit = True
        thread.join(1)
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise DeviceError(
            "cannot listen",
            got=f"{host}:{port}: {error.strerror}",
            next_step="choose another --host or --port",
        ) from error
    return listening
