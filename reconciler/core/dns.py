"""Who answers for names, what it answers, and whom a container asks. Pure; `host.names` does what is decided here.

What a container may know is its *view*: the names of its networks, and whom outside names are asked of. Each network
has a resolver for the view of those who are in it alone, at its gateway's address. Every other view that somebody has
(several networks, servers of its own) gets a resolver of its own on the bridge of its first network, at an address
taken from the top of that subnet. So a container only ever has to know one address, and nothing is redirected.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface

from reconciler.core.addresses import Refused
from reconciler.core.canonical import canonical
from reconciler.core.model import Container, SeenContainer, digest
from reconciler.core.networking import Attachment, Endpoint, Network, Pairs, Resolver, SeenNetwork

# Sizes are per resolver. dnsmasq asks from a random port with a random id each time, and at most 20 clients by TCP.
OPTIONS = (
    "--conf-file=/dev/null",  # nothing of the host's own dnsmasq
    "--no-hosts",
    "--bind-interfaces",  # only the addresses given: others may listen on port 53 elsewhere
    "--local=//",  # names without a dot are names of containers
    "--local-ttl=0",
    "--cache-size=150",
    "--dns-forward-max=150",
    "--edns-packet-max=1232",
    "--no-ident",
)

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAME = 253


# --- records -----------------------------------------------------------------------------------------------------


def records(containers: Iterable[SeenContainer], ready: Collection[str]) -> Mapping[str, Pairs]:
    """Per network one file per container, named by its id, in the format of /etc/hosts.

    The container's own name comes first, which is what a reverse question is answered with. Service and aliases are
    there only for the ids in `ready`, so that they mean all replicas that are; all have a second form `name.network`.
    """
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for seen in sorted(containers, key=lambda seen: seen.id):
        for endpoint in seen.endpoints:
            if endpoint.bridge:
                found[endpoint.network.name].append((seen.id, _hosts_lines(seen, endpoint, seen.id in ready)))
    return {network: tuple(pairs) for network, pairs in found.items()}


def aliases(container: Container, attachment: Attachment) -> tuple[str, ...]:
    """What a container is called in a network beside its own name and its service: as in Docker also its hostname."""
    return tuple(dict.fromkeys((*attachment.aliases, *filter(None, [container.hostname]))))


def _hosts_lines(seen: SeenContainer, endpoint: Endpoint, ready: bool) -> str:
    shared = (seen.service, *endpoint.aliases) if ready else ()
    names = _spelled((seen.name, seen.id[:12], *shared), endpoint.network.name)
    return "".join(f"{address}\t{names}\n" for address in (endpoint.address, endpoint.address6) if address)


@lru_cache(maxsize=4096)
def _spelled(names: tuple[str, ...], network: str) -> str:
    """Both forms of each name, without what is none: it could be anything in a file of ours."""
    plain = tuple(dict.fromkeys(names))
    return " ".join(name for name in (*plain, *(f"{name}.{network}" for name in plain)) if is_name(name))


def is_name(text: str) -> bool:
    """Whether DNS has a place for it; the underscores of Compose are welcome."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


# --- views and resolvers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class View:
    """The names of `networks`, sorted; all others are asked of `servers`, None for the host's own, () for nobody."""

    networks: tuple[str, ...]
    servers: tuple[str, ...] | None = None

    @property
    def resolver(self) -> str:
        """The name of the resolver that answers with it: the network's own, when all who are in it see this much."""
        return self.networks[0] if len(self.networks) == 1 and not self.servers else _apart(self)


@lru_cache(maxsize=4096)
def _apart(view: View) -> str:
    return f"{view.networks[0]}+{digest(json.dumps([view.networks, view.servers]))[:12]}"


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody with a view. `nameservers` is where it asks already, () while that is still to be chosen."""

    view: View
    nameservers: tuple[str, ...] = ()


def view(networks: Iterable[Network], dns: tuple[str, ...]) -> View | None:
    """What a container in `networks` sees, None when none of them is a bridge of ours: then it asks as the host does.

    `dns` are the servers that its service names. In internal networks only, nobody outside is asked, as in Docker.
    """
    given = tuple(networks)
    joined = tuple(sorted(network.name for network in given if network.driver == "bridge"))
    if not joined:
        return None
    outside = any(not network.internal for network in given)
    return View(joined, (dns or None) if outside else ())


def resolvers(
    networks: Mapping[str, Network],
    seen: Mapping[str, SeenNetwork],
    askers: Iterable[Asker],
    taken: Mapping[str, Collection[str]],
) -> Mapping[str, Resolver | Refused]:
    """All resolvers by name: one for each of `networks` whose bridge is there, and one for each other view.

    `taken` are the addresses that containers have in each network. An address that somebody asks already is kept.
    """
    places = {name: seen[name] for name in networks if name in seen and networks[name].driver == "bridge"}
    made: dict[str, Resolver | Refused] = {name: _own(places[name], networks[name].internal) for name in sorted(places)}
    used: dict[str, set[str]] = {}
    for other, asked in sorted(_others(askers, places).items(), key=lambda entry: (not entry[1], entry[0].resolver)):
        place = places[other.networks[0]]
        if place.name not in used:
            used[place.name] = _used(networks[place.name], place) | set(taken.get(place.name, ()))
        address = asked or _highest_free(place, used[place.name])
        if isinstance(address, Refused):
            made[other.resolver] = address
        else:
            used[place.name].update(address)
            made[other.resolver] = _resolver(other, place, address, places)
    return made


@lru_cache(maxsize=4096)  # each look asks for every network's, and they hardly ever change
def _own(place: SeenNetwork, internal: bool) -> Resolver:
    """The resolver of those who are in this network alone."""
    return _resolver(View((place.name,), () if internal else None), place, _gateways(place), {place.name: place})


def _used(network: Network, place: SeenNetwork) -> set[str]:
    return {*_gateways(place), *network.ipv4.reserved, *network.ipv6.reserved}


def _others(askers: Iterable[Asker], places: Mapping[str, SeenNetwork]) -> dict[View, tuple[str, ...]]:
    """The views that are no network's own, and where they are asked already."""
    found: dict[View, dict[str, None]] = {}
    for asker in askers:
        place = places.get(asker.view.networks[0])
        if place and asker.view.resolver != place.name:
            asked = [address for address in asker.nameservers if _belongs(address, place)]
            found.setdefault(asker.view, {}).update(dict.fromkeys(asked))
    return {other: tuple(asked) for other, asked in found.items()}


def nameservers(of: View | None, found: Mapping[str, Resolver | Refused]) -> tuple[str, ...]:
    """What resolv.conf names for this view: one address, as a second of the same process helps nobody; () without."""
    resolver = found.get(of.resolver) if of else None
    return resolver.addresses[:1] if isinstance(resolver, Resolver) else ()


def extra_addresses(found: Mapping[str, Resolver | Refused]) -> Mapping[str, tuple[str, ...]]:
    """The addresses that bridges need beside their gateways', by network; those that need none are left out."""
    extra: dict[str, tuple[str, ...]] = {}
    for resolver in found.values():
        if isinstance(resolver, Resolver) and resolver.name != resolver.networks[0]:
            extra[resolver.networks[0]] = (*extra.get(resolver.networks[0], ()), *resolver.addresses)
    return extra


def _resolver(of: View, place: SeenNetwork, addresses: tuple[str, ...], places: Mapping[str, SeenNetwork]) -> Resolver:
    known = [places[name] for name in of.networks if name in places]
    return Resolver(
        name=of.resolver,
        bridge=place.bridge,
        addresses=addresses,
        networks=of.networks,
        servers=of.servers,
        local=(*of.networks, *(zone for network in known for zone in _zones(network))),
    )


def _gateways(place: SeenNetwork) -> tuple[str, ...]:
    return tuple(subnet.partition("/")[0] for subnet in (place.subnet, place.subnet6) if subnet)


@lru_cache(maxsize=4096)
def _belongs(address: str, place: SeenNetwork) -> bool:
    return any(
        ip_address(address) in ip_interface(subnet).network for subnet in (place.subnet, place.subnet6) if subnet
    )


def _highest_free(place: SeenNetwork, used: Collection[str]) -> tuple[str] | Refused:
    """From the top of the first subnet, as containers get theirs from the bottom."""
    network = ip_interface(place.subnet or place.subnet6).network
    taken = {int(ip_address(address)) for address in used}
    last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
    for number in range(last, int(network.network_address), -1):
        if number not in taken:
            return (str(network[number - int(network.network_address)]),)
    return Refused(f"cannot choose an address for a resolver: all of {network} are in use; use a larger subnet")


def _zones(place: SeenNetwork) -> Iterator[str]:
    """The reverse zones of a network; one that ends within a byte, or half a byte, has several."""
    for subnet in (place.subnet, place.subnet6):
        if subnet:
            yield from _reverse_zones(ip_interface(subnet))


@lru_cache(maxsize=1024)
def _reverse_zones(subnet: IPv4Interface | IPv6Interface) -> tuple[str, ...]:
    network: IPv4Network | IPv6Network = subnet.network
    step = 8 if network.version == 4 else 4
    whole = max(step, -(-network.prefixlen // step) * step)
    labels = network.max_prefixlen // step - whole // step
    return tuple(
        part.network_address.reverse_pointer.split(".", labels)[labels] for part in network.subnets(new_prefix=whole)
    )


# --- dnsmasq -----------------------------------------------------------------------------------------------------


def arguments(resolver: Resolver) -> tuple[str, ...]:
    """What dnsmasq is told, but for files and users of the host."""
    if resolver.servers is None:
        forward: tuple[str, ...] = ()
    elif resolver.servers:
        forward = ("--no-resolv", *(f"--server={server}" for server in resolver.servers))
    else:
        forward = ("--no-resolv", "--address=/#/")  # no such name, where dnsmasq would else refuse to answer
    return (
        *OPTIONS,
        f"--port={resolver.port}",
        *(f"--listen-address={address}" for address in resolver.addresses),
        *(f"--local=/{domain}/" for domain in resolver.local),
        *forward,
    )


@lru_cache(maxsize=4096)
def fingerprint(resolver: Resolver) -> str:
    """Tells whether a resolver that runs is this one, as this release starts it."""
    return digest(json.dumps([canonical(resolver), arguments(resolver)]))[:16]
