"""A name server outside, whom the machine asks: knows what it was told, and remembers everything that it was asked."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from ipaddress import ip_address

from tests.end_to_end.stations import Station
from tests.host.network.questions import AAAA, A

_KINDS = {A: 4, AAAA: 16}  # and how long such an address is


class Upstream:
    """Answers by UDP on port 53. `known` has the addresses of names, `asked` every name that somebody asked for."""

    def __init__(self, station: Station, address: str) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self._socket = station.do(_bound, address).result()
        self._thread = threading.Thread(target=self._serve, name="upstream", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop answering."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                message, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            if not message:
                return
            with contextlib.suppress(OSError):
                self._socket.sendto(self._answer(message), peer)

    def _answer(self, message: bytes) -> bytes:
        labels, place = [], 12
        while message[place]:
            labels.append(message[place + 1 : place + 1 + message[place]].decode(errors="replace"))
            place += 1 + message[place]
        (kind,) = struct.unpack_from("!H", message, place + 1)
        name = ".".join(labels).lower()
        self.asked.append(name)
        size = _KINDS.get(kind)
        packed = [ip_address(text).packed for text in self.known.get(name, ())]
        found = [b"\xc0\x0c" + struct.pack("!2HIH", kind, 1, 0, len(one)) + one for one in packed if len(one) == size]
        flags = 0x8180 if name in self.known else 0x8183  # NXDOMAIN
        return struct.pack("!2s5H", message[:2], flags, 1, len(found), 0, 0) + message[12 : place + 5] + b"".join(found)


def _bound(address: str) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    return server
