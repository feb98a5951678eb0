"""The three files below /etc that every container is given: hosts, hostname, resolv.conf. Pure: values to texts.

`host.bundles` reads the host's own, writes what is returned here, and binds it into the container. What is known of
other containers is never written here: `dns` tells that to resolvers, for a file that is bound cannot be replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.dns import is_name
from reconciler.core.model import Container
from reconciler.core.networking import Joint

NAMES = ("hosts", "hostname", "resolv.conf")
HOST_GATEWAY = "host-gateway"

_LOOPBACK = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The host's own files. `resolved` is what systemd-resolved asks, when the host itself asks only that ("" else)."""

    hosts: str = ""
    resolv_conf: str = ""
    resolved: str = ""


def texts(container: Container, joint: Joint, host: HostFiles) -> Mapping[str, str]:
    """The files of a container by name, its hostname already decided.

    In the host's own network namespace they are the host's, so that names mean there what they mean on the host.
    """
    return {
        "hostname": f"{container.hostname}\n",
        "hosts": _host_hosts(container, host) if container.host_network else hosts(container, joint),
        "resolv.conf": host.resolv_conf if container.host_network else resolv_conf(container, joint, host),
    }


def hosts(container: Container, joint: Joint) -> str:
    """Loopback, then `extra_hosts`, then the container's own addresses with its full and its short name."""
    return "".join((_LOOPBACK, *_extra_hosts(container, _gateway(joint)), *_own(container, joint)))


def _host_hosts(container: Container, host: HostFiles) -> str:
    ended = "" if not host.hosts or host.hosts.endswith("\n") else "\n"
    return "".join((host.hosts, ended, *_extra_hosts(container, "127.0.0.1")))


def _own(container: Container, joint: Joint) -> Iterator[str]:
    short = container.hostname.partition(".")[0]
    full = f"{container.hostname}.{container.domainname}" if container.domainname else container.hostname
    names = " ".join(name for name in dict.fromkeys((full, container.hostname, short)) if is_name(name))
    for endpoint in joint.endpoints:
        for address in (endpoint.address, endpoint.address6):
            if address and names:
                yield f"{address}\t{names}\n"


def _extra_hosts(container: Container, gateway: str) -> Iterator[str]:
    """`host-gateway` is how the host is reached; without a way to it the name is left out."""
    for name, given in container.extra_hosts:
        address = gateway if given == HOST_GATEWAY else given
        if address:
            yield f"{address}\t{name}\n"


def _gateway(joint: Joint) -> str:
    """The host's address on the way out, else where the container asks for names: also that is the host."""
    ways = [endpoint.gateway4 or endpoint.gateway6 for endpoint in joint.endpoints]
    return next((way for way in (*ways, *joint.nameservers) if way), "")


# --- resolv.conf -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What resolv.conf(5) may say, as far as it matters here."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolvConf:
    """The last `search` or `domain` counts, servers and options add up (resolv.conf(5))."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *domains]:
                search = tuple(domains)
            case ["options", *given]:
                options.extend(given)
            case _:
                continue
    return ResolvConf(tuple(servers), search, tuple(options))


def resolv_conf(container: Container, joint: Joint, host: HostFiles) -> str:
    """Whom the container asks. Without a resolver of ours, `dns` of its service, else whom the host asks.

    Search domains and options are the host's unless the service has its own; `dns_search: .` means none. Names are
    tried as they are first (`ndots:0`), as in Docker, so that `db` is a container before it is a host of some domain.
    """
    known = parse_resolv_conf(host.resolv_conf)
    servers = joint.nameservers or container.dns or _reachable(host)
    search = tuple(domain for domain in container.dns_search or known.search if domain != ".")
    options = container.dns_opt or known.options
    if joint.nameservers and not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    lines = [
        *(f"nameserver {server}" for server in servers),
        *([f"search {' '.join(search)}"] if search else []),
        *([f"options {' '.join(options)}"] if options else []),
    ]
    return "".join(f"{line}\n" for line in lines)


def _reachable(host: HostFiles) -> tuple[str, ...]:
    """A server on the host's loopback is none in a container."""
    known = (parse_resolv_conf(text).nameservers for text in (host.resolv_conf, host.resolved))
    found = (tuple(server for server in servers if not _is_loopback(server)) for servers in known)
    return next(filter(None, found), ())


def _is_loopback(server: str) -> bool:
    return server.startswith("127.") or server == "::1"
