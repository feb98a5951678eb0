"""One question to a container over a socket that never blocks: TCP, and as much of HTTP as a health test needs.

`probes` owns the selector and says when something may be said or heard; each call does what is possible now.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass

from reconciler.core.health import HttpTest, TcpTest
from reconciler.core.probing import Target

Answer = tuple[bool, str]

HEAD = 512  # bytes of an answer that are looked at; its first line says everything
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


@dataclass(slots=True)
class Question:
    """What was asked of whom, and how far it is. `deadline` is on the steady clock."""

    target: Target
    socket: socket.socket
    deadline: float
    unsaid: bytes  # what is still to be sent; nothing for TCP
    heard: bytes = b""
    listening: bool = False

    def go_on(self) -> Answer | None:
        """The answer, None while there is none."""
        try:
            return self._listen() if self.listening else self._speak()
        except BlockingIOError:
            return None
        except OSError as error:
            return False, why(error)

    def _speak(self) -> Answer | None:
        failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            return False, os.strerror(failed).lower()
        if not self.unsaid:
            return True, "connected"
        self.unsaid = self.unsaid[self.socket.send(self.unsaid) :]
        self.listening = not self.unsaid
        return None

    def _listen(self) -> Answer | None:
        part = self.socket.recv(HEAD - len(self.heard))
        self.heard += part
        whole = not part or b"\n" in self.heard or len(self.heard) >= HEAD
        return judge(self.heard) if whole else None


def request(test: HttpTest | TcpTest, address: str) -> bytes:
    """What is said to ask for `test`."""
    if isinstance(test, TcpTest):
        return b""
    host = test.host or (f"[{address}]" if ":" in address else address)
    name = host if test.port == 80 else f"{host}:{test.port}"
    lines = (
        f"GET {test.path} HTTP/1.1", f"Host: {name}", "User-Agent: reconciler", "Accept: */*", "Connection: close",
    )  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def judge(head: bytes) -> Answer:
    """What the beginning of an answer means: 200 to 399 is well."""
    found = _STATUS.match(head)
    if found is None:
        return False, "it does not answer in HTTP" if head else "it closed the connection without an answer"
    return 200 <= int(found[1]) < 400, f"it answers with status {found[1].decode()}"


def why(error: OSError) -> str:
    """An error of a socket, in the kernel's words."""
    return (error.strerror or str(error)).lower()
