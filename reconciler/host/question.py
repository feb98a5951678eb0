"""Whether a name server answers at all: the smallest question of DNS, over UDP (RFC 1035)."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import ExitStack

_TRIES = 3  # one datagram may be lost under load
_RECURSION_DESIRED = 0x0100
_A, _INTERNET = 1, 1
_NAME = b"\x05alive\x00"  # a name without a dot: a resolver of ours knows it or not, and asks nobody


def question(id: int) -> bytes:
    """The address of `alive`."""
    return struct.pack("!6H", id, _RECURSION_DESIRED, 1, 0, 0, 0) + _NAME + struct.pack("!2H", _A, _INTERNET)


def silent(addresses: Iterable[str], seconds: float, port: int = 53) -> frozenset[str]:
    """Which of `addresses` do not answer within `seconds`; all are asked at the same time, again when they are slow."""
    with ExitStack() as opened:
        waiting: dict[int, tuple[str, socket.socket]] = {}
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            client = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            waiting[client.fileno()] = (address, client)
        unasked = {address for address, client in waiting.values() if not _reaches(client, address, port)}
        for _ in range(_TRIES):
            _collect(waiting, time.monotonic() + seconds / _TRIES)
        return frozenset({address for address, _ in waiting.values()} | unasked)


def _reaches(client: socket.socket, address: str, port: int) -> bool:
    try:
        client.connect((address, port))
    except OSError:
        return False
    return True


def _collect(waiting: dict[int, tuple[str, socket.socket]], until: float) -> None:
    """Ask all that are waited for, and drop those that answer."""
    id = int.from_bytes(os.urandom(2), "big")
    poll = select.poll()
    for descriptor, (_, client) in waiting.items():
        if _sent(client, question(id)):
            poll.register(descriptor, select.POLLIN)
    while waiting and (left := until - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            poll.unregister(descriptor)
            if _answered(waiting[descriptor][1]):
                del waiting[descriptor]


def _sent(client: socket.socket, message: bytes) -> bool:
    try:
        client.send(message)
    except OSError:
        return False
    return True


def _answered(client: socket.socket) -> bool:
    """Any answer will do: it comes from where the question went, as the socket is connected."""
    try:
        return bool(client.recv(512))
    except OSError:  # nobody is there
        return False
