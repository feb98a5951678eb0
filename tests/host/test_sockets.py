"""Who listens: what sock_diag says is what /proc says, which is asked where the kernel has none."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from reconciler.core.networking import Listener
from reconciler.host import sockets
from reconciler.host.netlink import Netlink

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
PLACES = (
    (socket.AF_INET, STREAM, "127.0.0.1", "tcp", "127.0.0.1"),
    (socket.AF_INET, DATAGRAM, "127.0.0.1", "udp", "127.0.0.1"),
    (socket.AF_INET6, STREAM, "::1", "tcp", "::1"),
    (socket.AF_INET6, DATAGRAM, "::", "udp", ""),
)


@pytest.fixture
def bound() -> Iterator[set[Listener]]:
    """One socket of each kind, and what is to be said of them."""
    with ExitStack() as stack:
        said = set()
        for family, kind, address, protocol, shown in PLACES:
            opened = stack.enter_context(socket.socket(family, kind))
            opened.bind((address, 0))
            if kind == STREAM:
                opened.listen()
            said.add(Listener(protocol=protocol, port=opened.getsockname()[1], address=shown))  # type: ignore[arg-type] # a literal
        yield said


def test_all_who_listen_are_found(bound: set[Listener]) -> None:
    assert bound <= set(sockets.listeners())


def test_without_sock_diag_proc_says_the_same(bound: set[Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> list[bytes]:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(Netlink, "dump", missing)
    assert bound <= set(sockets.listeners())


def test_who_is_connected_does_not_listen(bound: set[Listener]) -> None:
    port = next(listener.port for listener in bound if (listener.protocol, listener.address) == ("tcp", "127.0.0.1"))
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.getsockname()[1] not in {
            listener.port for listener in sockets.listeners() if listener.protocol == "tcp"
        }


def test_owners_are_told_when_asked(bound: set[Listener]) -> None:
    ports = {listener.port for listener in bound}
    owners = {listener.owner for listener in sockets.listeners(owners=True) if listener.port in ports}
    assert any(f"(process {os.getpid()})" in owner for owner in owners)


def test_an_answer_of_the_kernel() -> None:
    address = bytes([127, 0, 0, 53]) + bytes(12)
    body = bytes([socket.AF_INET, 10, 0, 0]) + b"\x00\x35" + bytes(2) + address + bytes(44) + b"\x39\x30\0\0"
    assert sockets.parse_answer(body) == ("127.0.0.53", 53, 12345)
