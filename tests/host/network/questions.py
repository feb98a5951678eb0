"""A DNS client for tests: asks one server one question, over UDP or TCP, and reads what comes back (RFC 1035)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
TRIES = 4  # as a resolver library does: a datagram may be lost, and is when a server's socket is made anew


@dataclass(frozen=True)
class Answer:
    """The status and, in the order of the answer, what the records say; `ttls` beside them."""

    status: int
    found: tuple[str, ...] = ()
    ttls: tuple[int, ...] = ()


def ask(server: str, name: str, kind: int = A, *, tcp: bool = False, timeout: float = 3.0) -> Answer:
    """Raises OSError when nobody answers; over UDP the question is put again meanwhile."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((server, 53))
        message = question(name, kind)
        if tcp:
            client.sendall(struct.pack("!H", len(message)) + message)
            (size,) = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))
            return parse(client.recv(size, socket.MSG_WAITALL))
        client.settimeout(timeout / TRIES)
        for _ in range(TRIES):
            client.send(message)
            with suppress(TimeoutError):
                return parse(client.recv(4096))
        raise TimeoutError(f"{server} says nothing of {name}")


def reverse(server: str, address: str) -> Answer:
    return ask(server, ipaddress.ip_address(address).reverse_pointer, PTR)


def question(name: str, kind: int) -> bytes:
    labels: bytes = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def parse(message: bytes) -> Answer:
    _, flags, questions, answers, _, _ = struct.unpack_from("!6H", message)
    place = 12
    for _ in range(questions):
        place = _name(message, place)[1] + 4
    found, ttls = [], []
    for _ in range(answers):
        place = _name(message, place)[1]
        kind, _, ttl, size = struct.unpack_from("!2HIH", message, place)
        place += 10
        found.append(_said(message, kind, place, size))
        ttls.append(ttl)
        place += size
    return Answer(flags & 15, tuple(found), tuple(ttls))


def _said(message: bytes, kind: int, place: int, size: int) -> str:
    if kind in (A, AAAA):
        return str(ipaddress.ip_address(message[place : place + size]))
    return _name(message, place)[0] if kind == PTR else message[place : place + size].hex()


def _name(message: bytes, place: int) -> tuple[str, int]:
    labels: list[str] = []
    while size := message[place]:
        if size >= 0xC0:
            rest = struct.unpack_from("!H", message, place)[0] & 0x3FFF
            return ".".join([*labels, _name(message, rest)[0]]), place + 2
        labels.append(message[place + 1 : place + 1 + size].decode())
        place += 1 + size
    return ".".join(labels), place + 1
