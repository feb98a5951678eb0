"""What strangers do to a socket: RELIABILITY F-140 to F-150, with the bytes themselves."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable

import pytest
from uvicorn.server import ServerState

from reconciler.api import connection as limits
from reconciler.core.status import Event
from tests.api.conftest import Api, connect

Patch = pytest.MonkeyPatch


def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, and fail when it does not come."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # 1.1 without a host
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"\r\n\r\n\r\n garbage \r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(api: Api, text: bytes) -> None:
    with connect(api.path) as connection:
        answer = b""
        try:
            connection.sendall(text)
            answer = read_all(connection)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was closed while we were still talking
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 ")) or answer == b""
    assert api.client().ask("/_ping").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/v1/status", "/events", "/nowhere", "/v1.44/info"])
def test_only_reading_is_allowed(api: Api, method: str, path: str) -> None:
    before = api.client().ask("/v1/status").read()
    response = api.client().ask(path, method, X_HTTP_Method_Override="GET")
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert "read only" in json.loads(response.read())["message"]
    assert api.client().ask("/v1/status").read() == before


def test_many_headers_are_refused(api: Api) -> None:
    headers = {f"X-{number}": "y" for number in range(100)}
    assert api.client().ask("/v1/status", **headers).status == 431


def test_connect_is_no_way_through(api: Api) -> None:
    answer = api.raw(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("POST", "/v1.44/containers/shop-web-1/stop", "specs/shop.yaml"),
        ("DELETE", "/containers/shop-web-1?force=1", "specs/shop.yaml"),
        ("POST", "/containers/nosuch/kill", "/specs"),
        ("POST", "/v1.44/containers/create", "/specs"),
        ("POST", "/images/create?fromImage=x", "/specs"),
        ("DELETE", "/networks/shop_default", "/specs"),
        ("PUT", "/containers/shop-web-1/archive?path=/", "specs/shop.yaml"),
        ("POST", "/v1.44/containers/shop-web-1/wait", "specs/shop.yaml"),
    ],
)
def test_a_known_write_is_refused_with_the_file_to_edit(api: Api, method: str, path: str, word: str) -> None:
    response = api.client().ask(path, method)
    message = json.loads(response.read())["message"]
    assert response.status == 403
    assert "the files are the only way in: edit the spec" in message
    assert message.endswith(word)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/containers/shop-web-1/attach/ws?stdin=1", 403),
        ("/containers/shop-web-1/archive?path=/etc/shadow", 403),
        ("/containers/shop-web-1/export", 403),
        ("/images/get?names=bb:1", 403),
        ("/images/bb:1/get", 403),
        ("/distribution/bb:1/json", 403),
        ("/debug/vars", 403),
        ("/containers/shop-web-1/logs?stdout=1", 501),
        ("/containers/shop-web-1/stats", 501),
        ("/images/bb:1/history", 501),
        ("/swarm", 503),
        ("/v1.5/version", 400),
        ("/v1.21/version", 200),
        ("/v1.99/version", 200),
        ("/v1.44", 404),
        ("/v1." + "9" * 5000 + "/version", 404),
        ("/", 404),
        ("/../../etc/shadow", 404),
        ("/%2e%2e/%2e%2e/etc/shadow", 404),
        ("//v1/status", 404),
        ("/v1/status/", 404),
        ("/v1/status/../plan", 404),
        ("/v1/status%00", 404),
        ("/containers/..%2f..%2fetc%2fshadow/json", 404),
        ("/" + "a" * 16_000, 404),
        ("/v1/events?after=x", 400),
        ("/v1/events?after=1e400", 400),
        ("/containers/json?limit=nan", 400),
    ],
)
def test_a_path_gets_what_the_table_says(api: Api, path: str, status: int) -> None:
    response = api.client().ask(path)
    assert response.status == status
    assert json.loads(response.read())


def test_websockets_are_not_spoken(api: Api) -> None:
    headers = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    answer = api.raw(b"GET /containers/a/attach/ws HTTP/1.1\r\n" + headers + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")


def test_http_1_0_without_a_host_is_answered_in_kind(api: Api) -> None:
    until_now = f"GET /events?since=1&until={api.feed.kept[-1].at + 1} HTTP/1.0\r\n\r\n"
    head, _, body = api.raw(until_now.encode()).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert [json.loads(line)["Action"] for line in body.splitlines()] == ["pull", "start", "die"]


def test_filters_may_come_unencoded(api: Api) -> None:
    answer = api.raw(b'GET /containers/json?&filters={"name":["lone"]} HTTP/1.0\r\n\r\n')
    (entry,) = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert entry["Names"] == ["/shop-lone-1"]


def test_a_body_is_not_taken_for_the_next_request(api: Api) -> None:
    smuggled = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    put = b"PUT /containers/a/archive HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = api.raw(put + chunk + smuggled)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()


def test_reading_takes_no_body(api: Api) -> None:
    answer = api.raw(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nxxxx")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_thousand_requests_at_once_are_answered_in_turn(api: Api) -> None:
    asked = (
        b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 999 + b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    with connect(api.path) as connection:
        sender = threading.Thread(target=connection.sendall, args=(asked,))
        sender.start()
        answer = read_all(connection)
        sender.join()
    assert answer.count(b"HTTP/1.1 200 OK") == 1000


def test_head_has_the_headers_and_no_body(api: Api) -> None:
    response = api.client().ask("/_ping", "HEAD")
    assert response.read() == b""
    assert response.headers["Api-Version"] == "1.44"
    assert response.headers["Ostype"] == "linux"
    assert response.headers["Swarm"] == "inactive"
    assert response.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"


def test_more_connections_than_allowed_are_refused_at_once(api: Api, monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 3)
    held = [connect(api.path) for _ in range(3)]
    for connection in held:
        connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    with connect(api.path) as refused:
        assert read_all(refused).startswith(b"HTTP/1.1 503 ")
    for connection in held:
        connection.close()
    until(lambda: api.client().ask("/_ping").status == 200)


@pytest.mark.parametrize("part", [b"", b"GET /v1/sta", b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /_pi"])
def test_who_does_not_finish_a_request_is_cut_off(api: Api, monkeypatch: Patch, part: bytes) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIME", 0.05)
    with connect(api.path) as connection:
        connection.sendall(part)
        try:
            answer = read_all(connection)
        except ConnectionResetError:
            return
    assert answer.count(b"HTTP/1.1 200 OK") == part.count(b"HTTP/1.1")


@pytest.mark.parametrize("follow", [False, True])
def test_who_does_not_read_is_cut_off_and_costs_nobody_else(api: Api, monkeypatch: Patch, follow: bool) -> None:
    monkeypatch.setattr(limits, "WRITE_TIME", 0.05)
    api.feed.kept.append(Event(sequence=5, at=1.0, kind="spec", name="x", action="held", message="m" * 4_000_000))
    with connect(api.path) as lazy:
        lazy.sendall(b"GET /v1/events?follow=%d HTTP/1.1\r\nHost: x\r\n\r\n" % follow)
        lazy.recv(1)
        assert api.client().ask("/_ping").status == 200
        until(lambda: not _state(api).tasks)
        until(lambda: len(_state(api).connections) <= 1)
    until(lambda: api.feed.rings == [])


def test_readers_that_go_leave_nothing_behind(api: Api) -> None:
    for _ in range(50):
        with connect(api.path) as connection:
            connection.sendall(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(1)
    until(lambda: api.feed.rings == [])
    until(lambda: not _state(api).connections)


def test_an_answer_that_fails_is_a_sentence_and_no_traceback(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    api.feed.snapshot = None  # type: ignore[assignment]
    response = api.client().ask("/v1/status")
    assert response.status == 500
    assert "mistake" in json.loads(response.read())["message"]
    assert "Traceback" not in capfd.readouterr().err


def _state(api: Api) -> ServerState:
    http = api.server._http
    assert http
    return http.server_state
