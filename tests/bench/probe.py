"""Waiting for something that can be seen from outside: a port that answers, a host that is empty."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

PATIENCE = 180.0
STEP = 0.001
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def answers(port: int) -> bool:
    """Whether a whole HTTP reply comes back. A connection that is merely accepted, as by a proxy, is not enough.

    Connecting on loopback takes well under a millisecond; a first packet that gets lost would be sent again only
    after a second, so we give up early and try anew.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.01) as connection:
            connection.settimeout(0.05)
            connection.sendall(REQUEST)
            return connection.recv(256).startswith(b"HTTP/1.0 200")
    except OSError:
        return False


def says(port: int, words: str) -> bool:
    """Whether whoever answers there now says exactly this."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.01) as connection:
            connection.settimeout(0.05)
            connection.sendall(REQUEST)
            return b"".join(iter(lambda: connection.recv(256), b"")).endswith(f"\r\n\r\n{words}".encode())
    except OSError:
        return False


def wait_until_said(port: int, words: str) -> None:
    """Until somebody says this there."""
    wait_until(lambda: says(port, words), f"port {port} to say {words}")


def wait_until_answered(ports: Sequence[int]) -> None:
    """Until each of them has answered once."""
    for port in ports:
        wait_until(lambda port=port: answers(port), f"port {port} to answer")  # type: ignore[misc]


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Ask every millisecond; raises TimeoutError after three minutes."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(STEP)
