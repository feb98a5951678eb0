"""Whether somebody else listens where a service wants to publish a port. Pure; `host.listeners` says who listens."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_interface

from reconciler.core.hostports import meet
from reconciler.core.networking import Listener, Port


def taken(port: Port, listeners: Iterable[Listener], subnets: Iterable[str] = ()) -> Listener | None:
    """The first of `listeners` that would lose packets to `port`, None when there is none.

    A wildcard takes in every address of its IP version, or of both (""). Who listens inside `subnets` (any CIDR form)
    is not meant: there are our own resolvers, and a published port leaves them alone.
    """
    found = [one for one in listeners if (one.port, one.protocol) == (port.published, port.protocol)]
    own = [ip_interface(subnet).network for subnet in subnets if subnet] if found else []
    for listener in found:
        inside = listener.address and any(ip_address(listener.address) in network for network in own)
        if not inside and meet(port.host_ip, listener.address):
            return listener
    return None
