"""Answers that are hardly HTTP (R-33, R-40, R-50): read as they may be meant, or refused in a line; never for ever."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from reconciler.errors import HostError
from reconciler.host.images.patience import Patience
from reconciler.host.images.transport import Transport
from reconciler.settings import Settings
from tests.host.images.pulling import Pull

WAITS = Patience(connect=5, answer=0.3, stall=0.3)
BODY = b'{"a": "body"}'
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


class Raw:
    """A server that says `said` to every request, and hangs up."""

    def __init__(self) -> None:
        self.said = b""
        self.again = False  # say it until nobody listens
        self._door = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._door.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[Raw]:
        thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            yield self
        finally:
            self._door.shutdown(socket.SHUT_RDWR)
            self._door.close()
            thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._door.accept()
                with guest, suppress(OSError):
                    guest.settimeout(5)
                    guest.recv(65536)
                    guest.sendall(self.said)
                    while self.again:
                        guest.sendall(self.said)


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    with Raw().running() as made:
        yield made


def asked(raw: Raw, said: bytes, *, again: bool = False) -> bytes:
    raw.said, raw.again = said, again
    return Transport(Settings(), waits=WAITS).get(f"http://{raw.host}/v2/", {}, 1000).body


UNDERSTOOD: dict[str, bytes] = {
    "HTTP/1.0 until the end": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "HTTP/1.0 with a length": b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "without a reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "chunks": CHUNKED + b"4\r\n" + BODY[:4] + b"\r\n9\r\n" + BODY[4:] + b"\r\n0\r\n\r\n",
    "chunks with extensions and trailers": CHUNKED + b"d;x=y\r\n" + BODY + b"\r\n0\r\nA: b\r\n\r\n",
    "chunks and a length": OK + b"Content-Length: 3\r\n" + CHUNKED[len(OK) :] + b"d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + BODY,
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + BODY,
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "more than the length": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY + b"more",
    "a cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n" + LENGTH + b"\r\n" + BODY,
    "folded headers": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n" + LENGTH + b"\r\n" + BODY,
    "bytes in headers": b"HTTP/1.1 200 OK\r\nA: \xff\xfe\r\n" + LENGTH + b"\r\n" + BODY,
}  # fmt: skip


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_what_can_be_understood_is(name: str, raw: Raw) -> None:
    assert asked(raw, UNDERSTOOD[name]) == BODY


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "closed connection without response"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", "cannot ask"),
    "zeros": (bytes(5000), "cannot ask"),
    "a status that is none": (b"HTTP/1.1 abc OK\r\n\r\n", "abc"),
    "a status that is too small": (b"HTTP/1.1 099 OK\r\n\r\n", "099"),
    "a status that is too large": (b"HTTP/1.1 1000 OK\r\n\r\n", "1000"),
    "another version": (b"HTTP/3.7 200 OK\r\n\r\n", "HTTP/3.7"),
    "a header of a mebibyte": (b"HTTP/1.1 200 OK\r\nA: " + b"x" * (1 << 20) + b"\r\n\r\n", "got more than 65536 bytes"),
    "a thousand headers": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "got more than 100 headers"),
    "a status line of a mebibyte": (b"HTTP/1.1 200 " + b"x" * (1 << 20), "got more than 65536 bytes"),
    "less than the length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + BODY, "IncompleteRead"),
    "more than may be": (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, "it has more than 1000 bytes"),
    "a chunk size that is none": (CHUNKED + b"zz\r\n", "IncompleteRead"),
    "a chunk that is cut": (CHUNKED + b"ff\r\nx", "IncompleteRead"),
    "a chunk of 2**70": (CHUNKED + b"4" + b"0" * 17 + b"\r\nx", ""),
    "no last chunk": (CHUNKED + b"1\r\nx\r\n", "IncompleteRead"),
    "a redirect to nowhere": (FOUND + b"Location: http://\r\n\r\n", "more than 10"),
    "a redirect to a port": (FOUND + b"Location: http://a:b/\r\n\r\n", "no address"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_is_refused_in_one_line(name: str, raw: Raw) -> None:
    said, why = REFUSED[name]
    with pytest.raises(HostError) as caught:
        asked(raw, said)
    text = str(caught.value)
    assert why in text
    assert text.startswith("cannot ")
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n", b"x"], ids=["continue", "again", "x"]
)
def test_what_never_ends_is_ended(said: bytes, raw: Raw) -> None:
    with pytest.raises(HostError, match="cannot ask"):
        asked(raw, said, again=True)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(b"HTTP/1.1 200 OK\r\n".__add__))
@budget(max_examples=100, deadline=None)
def test_any_answer_is_read_or_refused(raw: Raw, said: bytes) -> None:
    with suppress(HostError):
        assert len(asked(raw, said)) <= 1000


@pytest.mark.root
@pytest.mark.host
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>log in to",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(BODY),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\n" + LENGTH + b"\r\n" + BODY,
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\xc3\xa9 x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["a portal", "packed", "empty", "204", "206", "nowhere", "not ASCII", "511"],
)
def test_a_pull_from_somebody_who_is_no_registry(said: bytes, raw: Raw, pull: Pull) -> None:
    raw.said, raw.again = said, False
    assert pull.refusal(f"{raw.host}/app:1").startswith("cannot ")
