"""Netlink, the kernel's door to links, addresses, routes and rules: messages, attributes, sockets, doorbells.

Here stands what all netlink families share. What is said about links stands in `rtnetlink`, about rules in
`nftables`. Encoding and decoding are pure; only `Netlink` and the doorbells touch the kernel. Errors are the
kernel's `OSError`, to which the adapters add, with `saying`, what could not be done.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from reconciler.errors import HostError

ROUTE = 0  # NETLINK_ROUTE
NETFILTER = 12  # NETLINK_NETFILTER

REQUEST, ACK = 0x1, 0x4
DUMP = 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
DUMP_INTERRUPTED = 0x10

_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_unpack_attribute = _ATTRIBUTE.unpack_from
_ANY = range(1 << 14)
_LARGE = 1 << 16  # the kernel fills at most 32 KiB a datagram

SOL_NETLINK = 270
_STRICT = 12  # NETLINK_GET_STRICT_CHK: a dump obeys what its header says, as the table of routes


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type (RTM_NEWLINK, …), flags (`REQUEST` is implied) and body without header."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + bytes(-len(value) % 4)


def text(kind: int, value: str) -> bytes:
    """A string attribute, ending in NUL."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits in host order."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes, offset: int = 0, wanted: Container[int] = _ANY) -> Mapping[int, bytes]:
    """The attributes in `data` from `offset` on whose type is `wanted`; of repeated ones the last.

    The flags for nesting and byte order are taken off the type. Written without calls: a look reads thousands.
    """
    end = len(data) - 3
    found: dict[int, bytes] = {}
    while offset < end:
        length, kind = _unpack_attribute(data, offset)
        if length < 4:
            break
        kind &= 0x3FFF
        if kind in wanted:
            found[kind] = data[offset + 4 : offset + length]
        offset += length + 3 & ~3
    return found


def first(data: bytes, kind: int) -> bytes:
    """The value of the first attribute of that type, b"" for none; reads no further than there."""
    offset, end = 0, len(data) - 3
    while offset < end:
        length, found = _unpack_attribute(data, offset)
        if length < 4:
            break
        if found & 0x3FFF == kind:
            return data[offset + 4 : offset + length]
        offset += length + 3 & ~3
    return b""


def values(data: bytes) -> Iterator[bytes]:
    """The values of a list, in order: attributes that all have the same type."""
    offset = 0
    while offset + 4 <= len(data):
        length, _ = _unpack_attribute(data, offset)
        if length < 4:
            return
        yield data[offset + 4 : offset + length]
        offset += length + 3 & ~3


def string(value: bytes) -> str:
    """A string attribute's text. Anybody may give a link any name, so what is no UTF-8 is escaped."""
    return value.rstrip(b"\0").decode(errors="backslashreplace")


def encode(message: Message, sequence: int) -> bytes:
    """`message` as it goes to the kernel."""
    header = _HEADER.pack(16 + len(message.body), message.kind, message.flags | REQUEST, sequence, 0)
    return header + message.body + bytes(-len(message.body) % 4)


def decode(data: bytes) -> Iterator[tuple[int, Message]]:
    """Sequence number and content of each message in a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            return
        yield sequence, Message(kind, flags, data[offset + 16 : offset + length])
        offset += length + 3 & ~3


class Netlink:
    """A socket of one netlink family. It belongs to the network namespace of the thread that makes it, for ever.

    Not for two threads at once.
    """

    def __init__(self, family: int = ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        if family == ROUTE:
            self._socket.setsockopt(SOL_NETLINK, _STRICT, 1)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def change(self, *messages: Message) -> None:
        """Send all messages in one datagram. The kernel tries each, in order; raises its first refusal.

        Only the last one asks for an answer: refusals come by themselves, and each answer is one more system call.
        """
        if not messages:
            return
        first, last = self._sequence + 1, messages[-1]
        self._send((*messages[:-1], Message(last.kind, last.flags | ACK, last.body)))
        refusal, answered = 0, False
        while not answered:
            for sequence, answer in decode(self._socket.recv(_LARGE)):
                if answer.kind == _ERROR and sequence >= first:
                    refusal = refusal or _code(answer)
                    answered = sequence == self._sequence
        _raise(refusal)

    def transact(self, messages: tuple[Message, ...]) -> None:
        """Send a batch, framed by its first and last message; the one before the last asks for an answer.

        Raises the first refusal.
        """
        begin = self._sequence + 1
        self._send(messages)
        refusal, answered = 0, False
        while not answered:
            for sequence, answer in decode(self._socket.recv(_LARGE)):
                refusal = refusal or (_code(answer) if sequence >= begin else 0)
                answered = answered or sequence >= self._sequence - 1 or (sequence == begin and bool(refusal))
        _raise(refusal)

    def ask(self, message: Message) -> bytes:
        """The body of the one answer to a question that is no dump."""
        (answer,) = self.ask_each(message)
        if answer is None:
            _raise(errno.ENODEV)
        return answer or b""

    def ask_each(self, *messages: Message) -> list[bytes | None]:
        """The answers to questions that are no dumps, sent in one datagram; None where there is no such device."""
        if not messages:
            return []
        first = self._sequence + 1
        self._send(messages)
        answers: dict[int, Message] = {}
        while len(answers) < len(messages):
            for sequence, answer in decode(self._socket.recv(_LARGE)):
                if sequence >= first:
                    answers[sequence - first] = answer
        return [_answered(answers[place]) for place in range(len(messages))]

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all answers to a dump; asks again when the kernel says that it changed meanwhile."""
        while True:
            self._send((Message(kind, DUMP, body),))
            bodies, whole = self._collect()
            if whole:
                return bodies

    def _collect(self) -> tuple[list[bytes], bool]:
        bodies: list[bytes] = []
        whole = True
        while True:
            for sequence, answer in decode(self._socket.recv(_LARGE)):
                if sequence != self._sequence:
                    continue
                whole = whole and not answer.flags & DUMP_INTERRUPTED
                if answer.kind == _DONE:
                    return bodies, whole
                if answer.kind == _ERROR:
                    _raise(_code(answer))
                bodies.append(answer.body)

    def _send(self, messages: tuple[Message, ...]) -> None:
        data = b""
        for message in messages:
            self._sequence += 1
            data += encode(message, self._sequence)
        self._socket.send(data)


def _answered(answer: Message) -> bytes | None:
    if answer.kind != _ERROR:
        return answer.body
    if _code(answer) not in {0, errno.ENODEV}:
        _raise(_code(answer))
    return None


def _code(answer: Message) -> int:
    return -int(struct.unpack_from("=i", answer.body)[0])


def _raise(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Turn the kernel's refusal into a sentence: `cannot connect container 0123456789ab: File exists`."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise HostError(f"cannot {what}: {error.strerror}{where}") from error


@contextmanager
def if_there() -> Iterator[None]:
    """Go on when the kernel says that there is no such link."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
