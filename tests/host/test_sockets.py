"""Who holds a port: recorded tables of the kernel, and sockets of this very process."""

from __future__ import annotations

import os
import socket

import pytest

from reconciler.host.sockets import owners, parse

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def test_recorded_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")  # as on the machine that printed them
    tcp = HEADER + (
        "   0: 0100000A:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 41 1 000000000000\n"
        "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 42 1 000000000000\n"
    )
    assert list(parse(tcp, "0A")) == [("10.0.0.1", 53, 41)]
    udp6 = HEADER + (
        "  12: 000000FD000001000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000"
        " 00:00000000 00000000   999        0 43 2 0000000000000000 0\n"
    )
    assert list(parse(udp6, "07")) == [("fd00:0:1::1", 53, 43)]


@pytest.mark.parametrize(
    ("family", "kind", "address"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
        (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
        (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0"),
        (socket.AF_INET6, socket.SOCK_STREAM, "::"),
        (socket.AF_INET6, socket.SOCK_DGRAM, "::1"),
    ],
)
def test_a_socket_of_ours_is_found(family: int, kind: int, address: str) -> None:
    with socket.socket(family, kind) as server:
        server.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        port = server.getsockname()[1]
        (found,) = owners(port, {"127.0.0.1", "::1"})
        assert (found.process.pid, found.address) == (os.getpid(), address)
        assert found.program
    assert owners(port, {"127.0.0.1", "::1"}) == []


def test_who_listens_elsewhere_is_no_owner() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.2", 0))
        assert owners(server.getsockname()[1], {"127.0.0.1"}) == []
