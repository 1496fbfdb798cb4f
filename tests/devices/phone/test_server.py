"""The server over real sockets: who gets in, what they get, and what is left when they misbehave."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketpress.core.errors import DeviceError
from pocketpress.devices.phone.addresses import Addresses
from pocketpress.devices.phone.certificate import server_context
from pocketpress.devices.phone.messages import MAX_BODY_BYTES
from pocketpress.devices.phone.server import HEADERS, Arrivals, Content, Server, serving
from pocketpress.devices.phone.sessions import Sessions

LOCAL = Addresses("127.0.0.1", ("127.0.0.1", "localhost"), True)
SHA = "a" * 64
TASK = "aaaaaaaaaaaaaaaa-auto"
WHO = {"phone": "p" * 16, "tab": "t" * 16}
HELLO = {**WHO, "capabilities": {"model": "Pixel 7"}}
RESULT = {**WHO, "task": TASK, "outcome": "refused", "reason": "no SIMD"}


@pytest.fixture
def content(tmp_path: Path) -> Content:
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "bench.html").write_text("<!doctype html><p>bench")
    (page / "assets" / "main.js").write_text("1")
    (page / "assets" / "main.js.gz").write_bytes(b"packed")
    (tmp_path / "secret.txt").write_text("secret")
    (page / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "net.tflite").write_bytes(b"artifact" * 1000)
    job = {"tasks": [TASK]}
    return Content(page, "bench.html", job, {SHA: tmp_path / "net.tflite"}, {"g": b"golden"})


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals(Sessions((TASK,)))


@pytest.fixture
def server(content: Content, arrivals: Arrivals) -> Iterator[Server]:
    with serving(content, arrivals, LOCAL) as running:
        yield running


def ask(
    server: Server,
    path: str,
    *,
    method: str = "GET",
    body: Any = None,
    token: str | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request(method, f"/{server.token if token is None else token}{path}", raw, sent)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def post(server: Server, path: str, body: Any) -> tuple[int, Any]:
    status, _, content = ask(server, path, method="POST", body=body)
    return status, json.loads(content) if content.startswith(b"{") else content


def test_the_page_and_what_it_needs(server: Server) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}/{server.token}/"
    assert len(server.token) >= 24
    status, headers, body = ask(server, "/")
    assert (status, body) == (200, b"<!doctype html><p>bench")
    assert {k.lower(): v for k, v in HEADERS.items()}.items() <= headers.items()
    assert headers["cache-control"] == "no-store" and "server" not in headers
    assert ask(server, "/assets/main.js")[2] == b"1"
    status, headers, body = ask(server, "/assets/main.js", accept_encoding="gzip, br")
    assert (headers["content-encoding"], body) == ("gzip", b"packed")
    assert headers["content-type"].startswith("text/javascript")
    assert json.loads(ask(server, "/api/job")[2]) == {"tasks": [TASK]}
    assert ask(server, f"/api/artifacts/{SHA}")[2] == b"artifact" * 1000
    assert ask(server, "/api/golden/g")[2] == b"golden"


ROUTES = ("/", "/bench.html", "/assets/main.js", "/api/job", f"/api/artifacts/{SHA}", "/api/golden/g")


@pytest.mark.parametrize("path", [*ROUTES, "/api/hello", "/api/beat", "/api/result", "/api/bye", "/nothing"])
@pytest.mark.parametrize("token", ["", "wrong", "x" * 24])
def test_the_token_guards_every_route(server: Server, arrivals: Arrivals, path: str, token: str) -> None:
    for method in ("GET", "POST"):
        status, headers, body = ask(server, path, method=method, body=HELLO, token=token)
        assert status == 403
        assert b"This address is not valid" in body and server.token.encode() not in body
        assert headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert arrivals.sessions.views(0) == ()


def test_a_part_of_the_token_is_no_token(server: Server) -> None:
    for token in (server.token[:-1], server.token + "x", server.token.swapcase(), f"/{server.token}"):
        expected = 200 if token == f"/{server.token}" else 403
        assert ask(server, "/api/job", token=token)[0] == expected
    assert ask(server, "")[0] == 403, "without the slash behind it relative addresses would lead elsewhere"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil:80"])
def test_only_its_own_names(server: Server, host: str) -> None:
    status, _, body = ask(server, "/api/job", Host=host)
    assert status in (400, 421) and b"tasks" not in body


def test_its_other_name(server: Server) -> None:
    assert ask(server, "/api/job", Host=f"localhost:{server.port}")[0] == 200


def test_no_other_origin(server: Server, arrivals: Arrivals) -> None:
    status, _, _ = ask(server, "/api/hello", method="POST", body=HELLO, Origin="http://evil.example")
    assert status == 403 and arrivals.sessions.views(0) == ()
    own = f"http://127.0.0.1:{server.port}"
    assert ask(server, "/api/hello", method="POST", body=HELLO, Origin=own)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt", "/assets",
        "/assets/", "/api/artifacts/../../secret.txt", f"/api/artifacts/{'b' * 64}", "/api/golden/..", "/api",
        "//etc/passwd", "/link.txt.gz",
    ],
)  # fmt: skip
def test_nothing_but_what_is_listed(server: Server, path: str) -> None:
    status, _, body = ask(server, path)
    assert status in (403, 404) and b"secret" not in body


def test_messages(server: Server, arrivals: Arrivals) -> None:
    assert post(server, "/api/beat", WHO)[0] == 400, "a phone that never said hello"
    status, answer = post(server, "/api/hello", HELLO)
    assert status == 200 and answer["name"] == "pixel-7" and answer["lease"] and answer["done"] == []
    assert post(server, "/api/beat", {**WHO, "doing": "loading"})[1]["lease"]
    assert not post(server, "/api/beat", {**WHO, "tab": "u" * 16})[1]["lease"]
    status, answer = post(server, "/api/result", RESULT)
    assert status == 200 and answer["new"]
    assert arrivals.inbox.get_nowait().reason == "no SIMD"
    assert not post(server, "/api/result", RESULT)[1]["new"] and arrivals.inbox.empty()
    assert post(server, "/api/hello", {**HELLO, "tab": "u" * 16})[1]["lease"] is False
    assert post(server, "/api/bye", WHO)[0] == 200
    assert post(server, "/api/hello", {**HELLO, "tab": "u" * 16})[1]["done"] == [TASK]


def test_the_browser_is_told_who_it_is_for_the_next_run(server: Server) -> None:
    status, headers, _ = ask(server, "/api/hello", method="POST", body=HELLO)
    cookie = headers["set-cookie"]
    assert status == 200 and cookie.startswith(f"pocketpress-phone={WHO['phone']};")
    assert "Path=/;" in cookie and "SameSite=strict" in cookie and "HttpOnly" not in cookie
    assert "set-cookie" not in ask(server, "/api/job")[1]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"phone": 1}', b"\x00" * 100])
def test_nonsense_leaves_nothing(server: Server, arrivals: Arrivals, body: bytes) -> None:
    for route in ("hello", "beat", "result", "bye"):
        status, _, content = ask(server, f"/api/{route}", method="POST", body=body)
        assert status == 400 and "malformed" in json.loads(content)["error"]
    assert arrivals.sessions.views(0) == () and arrivals.inbox.empty()


def test_a_body_that_does_not_end(server: Server, arrivals: Arrivals) -> None:
    status, _, body = ask(server, "/api/result", method="POST", body=b" " * (MAX_BODY_BYTES + 1))
    assert status == 400 and b"too long" in body
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        head = f"POST /{server.token}/api/result HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        raw.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = b""
        try:
            for _ in range(40):
                raw.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
            answer = raw.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            answer = answer or b"closed"
    assert b"400" in answer or answer == b"closed"
    assert arrivals.inbox.empty() and ask(server, "/api/job")[0] == 200


def test_twenty_at_once(server: Server, arrivals: Arrivals) -> None:
    failed: list[int] = []

    def phone(i: int) -> None:
        who = {"phone": f"phone-{i:010}", "tab": "t" * 16}
        steps = (("hello", {**HELLO, **who}), ("result", {**RESULT, **who}))
        failed.extend(i for route, body in steps if post(server, f"/api/{route}", body)[0] != 200)

    threads = [threading.Thread(target=phone, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert arrivals.inbox.qsize() == 20
    assert len({view.name for view in arrivals.sessions.views(0)}) == 20


def test_an_artifact_that_vanished(server: Server, content: Content) -> None:
    content.artifacts[SHA].unlink()
    assert ask(server, f"/api/artifacts/{SHA}")[0] == 404


def test_tls_with_a_certificate_of_its_own(content: Content, arrivals: Arrivals) -> None:
    import datetime

    context = server_context(LOCAL.names, datetime.datetime.now(datetime.timezone.utc))
    with serving(content, arrivals, LOCAL, tls=context) as server:
        assert server.address.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context()
        trusting.check_hostname = True
        pem = ssl.get_server_certificate(("127.0.0.1", server.port))
        trusting.load_verify_locations(cadata=pem)
        for name in ("127.0.0.1", "localhost"):
            connection = http.client.HTTPSConnection(name, server.port, context=trusting, timeout=10)
            connection.request("GET", f"/{server.token}/api/job")
            assert connection.getresponse().status == 200
            connection.close()
        with pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(
                socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1"
            )


def test_certificates_differ_and_no_key_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime
    import tempfile

    from pocketpress.devices.phone.certificate import make_certificate

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    server_context(("127.0.0.1",), now)
    assert list(tmp_path.iterdir()) == []
    first, second = (make_certificate(("127.0.0.1",), now) for _ in range(2))
    assert first[0] != second[0] and first[1] != second[1]


def test_a_port_that_is_taken(content: Content, arrivals: Arrivals) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = pytest.raises(DeviceError, match=f"cannot listen: got 127.0.0.1:{port}")
        with refused, serving(content, arrivals, LOCAL, port):
            pass


def test_it_ends(content: Content, arrivals: Arrivals) -> None:
    before = threading.active_count()
    with serving(content, arrivals, LOCAL) as server:
        port = server.port
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
