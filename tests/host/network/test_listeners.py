"""Sockets that listen, as the kernel tells them: real ones in a namespace of their own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from reconciler.core.networking import Listener
from reconciler.host.listeners import listening

pytestmark = pytest.mark.root

FOUR, SIX = socket.AF_INET, socket.AF_INET6
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


@contextmanager
def bound(*wanted: tuple[socket.AddressFamily, socket.SocketKind, str, int, bool]) -> Iterator[list[socket.socket]]:
    with ExitStack() as closing:
        found = []
        for family, kind, address, port, only in wanted:
            server = closing.enter_context(socket.socket(family, kind))
            if family == SIX:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            server.bind((address, port))
            if kind == STREAM:
                server.listen()
            found.append(server)
        yield found


def test_everybody_who_listens_is_found(namespace: None) -> None:
    assert listening() == ()
    with bound(
        (FOUR, STREAM, "0.0.0.0", 80, False),
        (FOUR, STREAM, "127.0.0.1", 81, False),
        (SIX, STREAM, "::", 82, False),
        (SIX, STREAM, "::", 83, True),
        (SIX, STREAM, "::1", 84, False),
        (SIX, STREAM, "::ffff:127.0.0.1", 85, False),
        (FOUR, DATAGRAM, "127.0.0.1", 80, False),
        (SIX, DATAGRAM, "::", 82, False),
    ):
        assert set(listening()) == {
            Listener(protocol="tcp", port=80, address="0.0.0.0"),
            Listener(protocol="tcp", port=81, address="127.0.0.1"),
            Listener(protocol="tcp", port=82),
            Listener(protocol="tcp", port=83, address="::"),
            Listener(protocol="tcp", port=84, address="::1"),
            Listener(protocol="tcp", port=85, address="127.0.0.1"),
            Listener(protocol="udp", port=80, address="127.0.0.1"),
            Listener(protocol="udp", port=82),
        }
    assert listening() == ()


def test_connections_are_no_listeners(namespace: None) -> None:
    with bound((FOUR, STREAM, "127.0.0.1", 80, False)), socket.create_connection(("127.0.0.1", 80)):
        assert listening() == (Listener(protocol="tcp", port=80, address="127.0.0.1"),)
    with socket.socket(FOUR, DATAGRAM) as client, socket.socket(FOUR, STREAM) as silent:
        client.connect(("127.0.0.1", 53))
        silent.bind(("127.0.0.1", 81))
        assert listening() == ()


def test_many_that_share_a_port_are_one(namespace: None) -> None:
    with ExitStack() as closing:
        for _ in range(3):
            server = closing.enter_context(socket.socket(FOUR, STREAM))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind(("127.0.0.1", 80))
            server.listen()
        assert listening() == (Listener(protocol="tcp", port=80, address="127.0.0.1"),)


def test_who_it_is_is_told_when_asked(namespace: None) -> None:
    with bound((FOUR, STREAM, "127.0.0.1", 80, False)):
        (listener,) = listening(owners=True)
        assert listener.owner.endswith(f"(process {os.getpid()})")
