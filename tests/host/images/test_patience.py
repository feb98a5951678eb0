"""Answers that come too slowly (R-43): never, byte by byte, or not fast enough. The clock is the test's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.exchange import IDLE, KEPT
from reconciler.host.images.patience import Incoming, Patience, patience
from reconciler.host.images.store import ImageStore
from reconciler.host.images.transport import Transport, TryAgainError
from reconciler.settings import ImageLimits, Settings
from tests.host.images.builder import digest
from tests.host.images.scripted import Asked, Reply, Server, one_file


class Trickle:
    """A socket on which `count` bytes come every `pause` seconds of the test's clock; None: never."""

    def __init__(self, count: int, pause: float) -> None:
        self.now = 0.0
        self.timeouts: list[float] = []
        self._count, self._pause = count, pause

    def makefile(self, _mode: str, buffering: int) -> Trickle:
        assert buffering == 0
        return self

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def readinto(self, buffer: memoryview) -> int:
        if self._pause > self.timeouts[-1]:
            self.now += self.timeouts[-1]
            raise TimeoutError("timed out")
        self.now += self._pause
        return min(self._count, len(buffer))

    def close(self) -> None:
        """Nothing to close."""

    def incoming(self) -> Incoming:
        waits = Patience(connect=10, answer=30, stall=60, slowest=1000, clock=lambda: self.now)
        return Incoming(self, waits)  # type: ignore[arg-type]


def read_until_it_ends(incoming: Incoming, limit: int) -> int:
    """How many bytes come before a TimeoutError, at most about `limit`."""
    buffer, total = memoryview(bytearray(1 << 16)), 0
    with suppress(TimeoutError):
        while total < limit:
            total += incoming.readinto(buffer)
    return total


@pytest.mark.parametrize("pause", [0.5, 1.0, 29.0, 31.0, 1e9])
def test_a_head_that_comes_byte_by_byte_has_an_end(pause: float) -> None:
    trickle = Trickle(1, pause)
    assert read_until_it_ends(trickle.incoming(), 1 << 20) == (30 // pause)
    assert trickle.now <= 31


def test_a_document_has_an_end_of_its_own() -> None:
    trickle = Trickle(10, 1.0)
    incoming = trickle.incoming()
    trickle.now = 25.0
    incoming.whole_by(60)
    assert read_until_it_ends(incoming, 1 << 20) == 600
    assert trickle.now == 85.0


@pytest.mark.parametrize(("count", "pause"), [(1, 1.0), (999, 1.0), (500_000, 600.0), (58_000, 59.0)])
def test_a_blob_that_comes_too_slowly_is_given_up(count: int, pause: float) -> None:
    trickle = Trickle(count, pause)
    incoming = trickle.incoming()
    incoming.streams()
    assert read_until_it_ends(incoming, 1 << 30) < 200_000
    assert trickle.now <= 120


@pytest.mark.parametrize(("count", "pause"), [(1000, 1.0), (60_000, 59.0), (60_000, 0.001)])
def test_a_blob_that_comes_fast_enough_may_take_for_ever(count: int, pause: float) -> None:
    trickle = Trickle(count, pause)
    incoming = trickle.incoming()
    incoming.streams()
    assert read_until_it_ends(incoming, 10_000_000) >= 10_000_000


def test_a_disk_that_is_slow_is_not_the_fault_of_the_registry() -> None:
    trickle = Trickle(60_000, 1.0)
    incoming = trickle.incoming()
    incoming.streams()
    for _ in range(20):
        trickle.now += 3600
        assert incoming.readinto(memoryview(bytearray(1 << 16))) == 60_000


def test_how_long_to_wait_comes_from_the_settings() -> None:
    found = patience(ImageLimits(connect=1, answer=2, stall=3, slowest=4))
    assert (found.connect, found.answer, found.stall, found.slowest) == (1, 2, 3, 4)


# --- over the wire ---------------------------------------------------------------------------------------------------

SHORT = Patience(connect=5, answer=0.05, stall=0.05, slowest=1)


@contextmanager
def saying(*pieces: bytes) -> Iterator[str]:
    """A server that says `pieces` to everybody, and then nothing more for as long as somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        host = f"127.0.0.1:{door.getsockname()[1]}"
        guests: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    guest, _ = door.accept()
                    guests.append(guest)
                    for piece in pieces:
                        guest.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield host
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()
            for guest in guests:
                guest.close()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
)
@pytest.mark.parametrize("how", [lambda t, url: t.get(url, {}, 100), lambda t, url: t.head(url, {})])
def test_a_server_that_falls_silent(said: bytes, how: Callable[[Transport, str], object]) -> None:
    with saying(said) as host:
        transport = Transport(Settings(), waits=SHORT)
        if b"\r\n\r\n" in said and "head" in how.__code__.co_names:
            how(transport, f"http://{host}/v2/")  # the head is all that was asked for
        else:
            with pytest.raises(TryAgainError, match=r"cannot ask 127\.0\.0\.1/v2/: .*(timed out|too slowly)"):
                how(transport, f"http://{host}/v2/")


def test_a_blob_that_stops_coming() -> None:
    with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"half") as host:
        answer = Transport(Settings(), waits=SHORT).open(f"http://{host}/", {})
        assert answer.stream is not None
        with pytest.raises(TimeoutError):
            answer.stream.readinto(bytearray(99))
        answer.close()


@pytest.mark.root
@pytest.mark.host
def test_one_silent_registry_keeps_nobody_else_from_pulling(server: Server, tmp_path: Path) -> None:
    """A pull waits for a registry that says nothing; another pull meanwhile is served."""
    wanted = server.image([one_file()])
    asked, go = threading.Event(), threading.Event()

    def script(request: Asked) -> Reply | None:
        if "/silent/" in request.path:
            asked.set()
            go.wait(20)
        return None

    server.script = script
    store = ImageStore(Settings(state=tmp_path), sleep=lambda _: None)
    store.recover()
    refused: list[HostError] = []

    def pull() -> None:
        try:
            store.pull(f"{server.host}/silent/app:1", lambda _: None)
        except HostError as error:
            refused.append(error)

    waiting = threading.Thread(target=pull)
    waiting.start()
    assert asked.wait(20)
    store.pull(f"{server.host}/app:1", lambda _: None)
    assert store.seen()[f"{server.host}/app:1"].digest == wanted
    go.set()
    waiting.join(20)
    assert "404" in str(refused[0])


# --- connections -----------------------------------------------------------------------------------------------------


class Counting:
    """How many connections a scripted server takes."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        take = server._http.get_request

        def get_request() -> tuple[socket.socket, object]:
            self.count += 1
            return take()

        monkeypatch.setattr(server._http, "get_request", get_request)


def test_a_connection_is_used_again_for_a_while(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    counting = Counting(server, monkeypatch)
    server.content["/a"] = Reply(b"body")
    transport = Transport(Settings(), waits=Patience(clock=lambda: now))
    for _ in range(3):
        assert transport.get(f"http://{server.host}/a", {}, 100).body == b"body"
        assert transport.head(f"http://{server.host}/a", {}).status == 200
        blob = transport.open(f"http://{server.host}/a", {})
        assert blob.stream is not None
        assert blob.stream.read() == b"body"
        blob.close()
    assert counting.count == 1
    now += IDLE
    transport.get(f"http://{server.host}/a", {}, 100)
    assert counting.count == 2


def test_only_so_many_connections_are_kept_wherever_they_go(server: Server) -> None:
    """A stranger who redirects to ever other places does not use up our descriptors."""
    transport = Transport(Settings())
    before = len(os.listdir("/proc/self/fd"))
    server.content["/a"] = Reply(b"body")
    port = server.host.rpartition(":")[2]
    for number in range(60):
        name = "".join(letter.upper() if number >> at & 1 else letter for at, letter in enumerate("localhost"))
        assert transport.get(f"http://{name}:{port}/a", {}, 100).body == b"body"
    assert len(os.listdir("/proc/self/fd")) - before <= 2 * KEPT + 4  # both ends are ours


def test_a_connection_with_something_left_in_it_is_not(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(server, monkeypatch)
    server.content["/a"] = Reply(b"body" * 100_000)
    transport = Transport(Settings())
    with pytest.raises(HostError, match="more than 5 bytes"):
        transport.get(f"http://{server.host}/a", {}, 5)
    blob = transport.open(f"http://{server.host}/a", {})
    blob.close()
    transport.head(f"http://{server.host}/a", {})
    assert counting.count == 3


def test_a_connection_that_ended_meanwhile_is_made_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(server, monkeypatch)
    server.content["/a"] = Reply(b"body", length=4)  # after which the server hangs up, without having said so
    transport = Transport(Settings())
    for _ in range(3):
        assert transport.get(f"http://{server.host}/a", {}, 100).body == b"body"
    assert counting.count == 3


@pytest.mark.parametrize("headers", [{"Connection": "close"}, {}])
def test_a_server_that_says_that_it_hangs_up(
    headers: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = one_file("a", bytes(500_000))
    server.content["/a"] = Reply(layer, headers=headers, length=len(layer))
    transport = Transport(Settings())
    assert digest(transport.get(f"http://{server.host}/a", {}, 1 << 20).body) == digest(layer)
    blob = transport.open(f"http://{server.host}/a", {})
    assert blob.stream is not None
    assert digest(blob.stream.read()) == digest(layer)
    blob.close()


def test_a_document_that_breaks_off_is_asked_for_again_not_believed(server: Server) -> None:
    server.content["/a"] = Reply(b"a whole document", cut=5)
    with pytest.raises(TryAgainError, match="IncompleteRead"):
        Transport(Settings()).get(f"http://{server.host}/a", {}, 100)
