"""`x-egress`: one entry, a text, to a destination.

| written                          | means                                              |
|----------------------------------|----------------------------------------------------|
| `10.0.0.0/8`, `10.1.2.3`         | a network, an address: every port and protocol     |
| `api.example.org:443/tcp`        | a name, looked up again and again; one port        |
| `10.0.0.0/8:8000-8010`           | a range of ports, TCP and UDP                      |
| `[2001:db8::/32]:53/udp`         | IPv6 stands in brackets                            |
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import PlainValidator

from reconciler.core.networking import Destination, Protocol
from reconciler.spec import addressing, forms
from reconciler.spec.forms import FormError

_ENTRY = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:./]+)\]|(?P<host>[^:\[\]/]+))(?P<prefix>/[0-9]{1,3})?"
    r"(?::(?P<ports>[0-9]+(?:-[0-9]+)?))?(?:/(?P<protocol>[A-Za-z]+))?",
    re.ASCII,
)
_NETWORK = re.compile(r"[0-9.]+|.*:.*", re.ASCII)
_PROTOCOLS: Final[dict[str | None, Protocol | Literal[""]]] = {None: "", "tcp": "tcp", "udp": "udp"}


def destination(value: object) -> Destination:
    """One entry. Raises FormError."""
    if not isinstance(value, str):
        raise FormError("it must be a text such as 10.0.0.0/8, api.example.org:443 or [2001:db8::/32]:53/udp")
    found = _ENTRY.fullmatch(value)
    if not found:
        v6 = "; IPv6 stands in brackets, as in [2001:db8::/32]:443" if value.count(":") > 1 else ""
        raise FormError(f"'{value}' is no destination; write HOST, HOST:PORT or HOST:PORT/tcp{v6}")
    if found["protocol"] not in _PROTOCOLS:
        raise FormError(f"'{found['protocol']}' is no protocol; write tcp or udp, or leave it out for all")
    host = _host(found["v6"] or found["host"], found["prefix"] or "")
    protocol = _PROTOCOLS[found["protocol"]]
    return Destination(host=host, ports=_ports(found["ports"]), protocol=protocol)


def _host(text: str, prefix: str) -> str:
    if prefix or _NETWORK.fullmatch(text):
        return str(addressing.network(text + prefix))
    return addressing.host_name(text)


def _ports(text: str | None) -> tuple[int, int]:
    """Without a port all of them; a range may be as long as one likes."""
    if text is None:
        return (0, 65535)
    first, last = (int(part) for part in (text.split("-") * 2)[:2])
    if not 1 <= first <= last <= 65535:
        raise FormError(forms.PORTS)
    return first, last


Egress = Annotated[Destination, PlainValidator(destination, json_schema_input_type=str)]
