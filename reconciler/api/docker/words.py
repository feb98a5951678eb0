"""What all nouns of the Docker view share: times, addresses, commands and references as a Docker client wants them.

Clients written in Go decode strictly: one malformed address or time makes `docker ps` or Traefik lose the whole
list. So whatever is not surely well formed is sent as "", which all of them accept.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: has not happened


def timestamp(seconds: float | None) -> str:
    """`seconds` since the epoch in RFC 3339; NEVER for None and for what no calendar holds."""
    if seconds is None or seconds <= 0:
        return NEVER
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return NEVER


def parse_timestamp(text: str) -> float:
    """RFC 3339 as seconds since the epoch; 0 for anything else, as an image's `created` may be anything."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else 0.0
    except (ValueError, OverflowError):
        return 0.0


@lru_cache(maxsize=4096)
def address(text: str) -> str:
    """`text` if it is an IP address, else ""."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def host_address(text: str) -> str:
    """The address of the host at which a port is published, where "" means every one."""
    return address(text) or str(ipaddress.IPv4Address(0))


@lru_cache(maxsize=1024)
def gateway(subnet: str) -> tuple[str, int, str]:
    """Gateway, prefix length and network of a subnet written as the gateway's address (10.1.2.1/24)."""
    try:
        interface = ipaddress.ip_interface(subnet)
    except ValueError:
        return "", 0, ""
    return str(interface.ip), interface.network.prefixlen, str(interface.network)


def program(command: Sequence[str]) -> str:
    """The first word of a command. Arguments often carry passwords, so nothing beyond it is shown."""
    words = command[0].split() if command else []
    return words[0] if words else ""


def familiar(reference: str) -> str:
    """A canonical image reference as people write it: `docker.io/library/redis:7` is `redis:7`."""
    return reference.removeprefix("docker.io/").removeprefix("library/")


def address_and_prefix(interface: str) -> tuple[str, int]:
    """The two parts of 10.1.2.3/24; nothing of what is no address."""
    try:
        value = ipaddress.ip_interface(interface)
    except ValueError:
        return "", 0
    return str(value.ip), value.network.prefixlen


def interface(text: str) -> str:
    """`text` if it is an address with a prefix length, else ""."""
    ip, prefix = address_and_prefix(text)
    return f"{ip}/{prefix}" if ip else ""
