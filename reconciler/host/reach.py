"""Connections to containers, begun and not waited for, from the host or from inside a namespace. Called by probes."""

from __future__ import annotations

import contextlib
import socket
from ipaddress import ip_address

from reconciler.core.probing import Where
from reconciler.host import namespaces


def connect(where: Where, port: int) -> socket.socket:
    """A socket that is connected, or about to be; it never blocks. Raises OSError."""
    family = socket.AF_INET6 if ip_address(where.address).version == 6 else socket.AF_INET
    made = namespaces.stream(where.process, family) if where.process else socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            made.connect((where.address, port))
    except BaseException:
        made.close()
        raise
    return made
