"""What networks are made of: the values of Compose's networking, as declared and as seen on the host.

Only frozen values; `model` builds containers of them. Addresses are text: `10.192.3.2` an address, `10.192.3.2/24` one
with the length of its network's prefix, `10.192.3.0/24` a network. Names are those of the Compose Specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Pairs = tuple[tuple[str, str], ...]
Protocol = Literal["tcp", "udp"]
Driver = Literal["bridge", "macvlan", "ipvlan", "cni"]


# --- declared ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One published port; ranges are already expanded. `host_ip` "" means every address of the host.

    `allow` are the networks that may connect (`x-allow`): None means everybody, () nobody.
    """

    target: int
    published: int
    protocol: Protocol = "tcp"
    host_ip: str = ""
    allow: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One entry of `x-egress`: where a container may connect to. `host` is a network or a name.

    `ports` are the first and the last one; `protocol` "" means every one, also those without ports.
    """

    host: str
    ports: tuple[int, int] = (0, 65535)
    protocol: Protocol | Literal[""] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """How a service joins one network. An address "" means any that is free.

    `network` is the key in `Desired.networks`. `declared` is a digest of what that network's declaration says beyond
    the defaults, "" for nothing: another subnet or driver needs other containers.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    interface_name: str = ""
    gw_priority: int = 0
    declared: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipam:
    """Addresses of a network in one family; each "" is chosen. `ip_range` is where addresses are handed out from.

    `reserved` are addresses that are never handed out (`aux_addresses`).
    """

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    reserved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network of one app. `name` is the full name (`app_default`).

    `bridge` is the link's name, "" for one that follows from the network's. `mtu` 0 is that of the host's way out.
    `parent` and `mode` are those of macvlan and ipvlan, `cni` the file of a CNI configuration.
    """

    name: str
    app: str
    spec: str
    labels: Pairs = ()
    driver: Driver = "bridge"
    internal: bool = False
    enable_ipv6: bool = False
    ipv4: Ipam = field(default_factory=Ipam)
    ipv6: Ipam = field(default_factory=Ipam)
    mtu: int = 0
    bridge: str = ""
    parent: str = ""
    mode: str = ""
    cni: str = ""


# --- on the host -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A container's place in one network: everything that its interface is made from, kept in its record.

    `ipv4` and `ipv6` have their prefix length, "" for none. `gateway4` and `gateway6` are where its default route
    leads, "" when that is not through this network.
    """

    network: Network
    bridge: str  # "" for drivers that have none
    interface: str  # in the container
    ipv4: str = ""
    ipv6: str = ""
    gateway4: str = ""
    gateway6: str = ""
    mac: str = ""  # "" follows from the address
    aliases: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The IPv4 address alone."""
        return self.ipv4.partition("/")[0]

    @property
    def address6(self) -> str:
        """The IPv6 address alone."""
        return self.ipv6.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNetwork:
    """A bridge of ours. `subnet` and `subnet6` in CIDR form of the gateway's own address, as 10.192.3.1/24, or "".

    `drift` says what is not as it was made (down, forwarding is off), "" when it works.
    """

    name: str
    app: str
    spec: str
    bridge: str
    subnet: str
    subnet6: str = ""
    extra: tuple[str, ...] = ()  # more addresses, on which resolvers listen
    mtu: int = 0
    drift: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Somebody else's socket that listens on a port of the host. `address` "" is every one; `owner` is for people."""

    protocol: Protocol
    port: int
    address: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """One dnsmasq: answers, on one bridge, with the names of `networks`, and asks `servers` for all others.

    `name` tells resolvers apart. `servers` () forwards nothing, None forwards to the host's own resolvers. Below the
    domains of `local` nobody else is asked either: the networks' names and the reverse zones of their subnets.
    """

    name: str
    bridge: str
    addresses: tuple[str, ...]  # the bridge's, on which it listens
    networks: tuple[str, ...]
    servers: tuple[str, ...] | None = None
    local: tuple[str, ...] = ()
    port: int = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Where a container is in the world: `endpoints` of its own, or, as `shares`, the id of the container it joins."""

    endpoints: tuple[Endpoint, ...] = ()
    shares: str = ""
    nameservers: tuple[str, ...] = ()  # for its resolv.conf; () is what the host itself uses
