"""The kernel's settings below /proc/sys/net that a host needs to pass packets on between its links.

Writes what is not yet so, and nothing else. Used by `networks` when it makes or repairs a bridge; which settings a
bridge needs is said by `core.wiring`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from reconciler.host.doorbells import path

FORWARD6 = "net.ipv6.conf.all.forwarding"


def settle(settings: Mapping[str, int], uplinks: Iterable[str]) -> None:
    """Have the kernel forward as `settings` say (names below net).

    A host that forwards IPv6 no longer listens to routers, and would lose its own default route; `accept_ra` 2 has
    its `uplinks` listen all the same (kernel ip-sysctl, accept_ra).
    """
    if "ipv6.conf.all.forwarding" in settings and read(FORWARD6) != 1:
        for link in uplinks:
            if read(f"net.ipv6.conf.{link}.accept_ra") == 1:
                write(f"net.ipv6.conf.{link}.accept_ra", 2)
    for name, value in settings.items():
        if read(f"net.{name}") != value:
            write(f"net.{name}", value)


def read(name: str) -> int | None:
    """The setting's value; None when the kernel has no such setting."""
    with suppress(FileNotFoundError):
        return int(path(name).read_text())
    return None


def write(name: str, value: int) -> None:
    """Set it."""
    path(name).write_text(str(value))
