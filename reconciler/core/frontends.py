"""Who new connections go to: which replicas serve, and which of them stand behind each published port. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

from reconciler.core.lifecycle import about_to_run
from reconciler.core.model import Running, SeenContainer
from reconciler.core.networking import Endpoint, Port
from reconciler.core.ruleset import Published, Target


def serving(containers: Iterable[SeenContainer], leaving: Set[str], aside: Set[str] = frozenset()) -> frozenset[str]:
    """The ids of the replicas that new connections go to, whoever declared them: what runs is reachable.

    A service without a running replica is served by those that are about to run: table and names then are in force when
    they are, and until then a client is refused there as it would be here. `leaving` are ids that will not run again,
    `aside` those in whose place another instance of the same replica serves.
    """
    running: dict[tuple[str, str], set[str]] = defaultdict(set)
    expected: dict[tuple[str, str], set[str]] = defaultdict(set)
    for seen in containers:
        if not seen.connected or seen.id in aside:
            continue
        if isinstance(seen.state, Running):
            if seen.state.stop_sent is None:
                running[seen.app, seen.service].add(seen.id)
        elif seen.id not in leaving and about_to_run(seen):
            expected[seen.app, seen.service].add(seen.id)
    return frozenset[str]().union(*(expected | running).values())


def frontends(containers: Iterable[SeenContainer]) -> tuple[Published, ...]:
    """Every published port of these containers, which all serve, with the addresses behind it."""
    found: dict[Port, list[Target]] = defaultdict(list)
    for seen in containers:
        for port in seen.ports:
            found[port] += [(address, port.target) for address in _entrances(seen.endpoints)]
    merged: dict[tuple[object, ...], list[Target]] = defaultdict(list)
    for port, targets in found.items():
        merged[port.published, port.protocol, port.host_ip, port.allow] += targets
    return tuple(
        Published(port=port, protocol=protocol, host_ip=host_ip, allow=allow, targets=tuple(targets))  # type: ignore[arg-type] # parts of a Port
        for (port, protocol, host_ip, allow), targets in merged.items()
    )


def _entrances(endpoints: tuple[Endpoint, ...]) -> Iterator[str]:
    """One address of each IP version, in the network of its default route, as with Docker; else in the first one."""
    by_route4 = sorted(endpoints, key=lambda endpoint: not endpoint.gateway4)
    by_route6 = sorted(endpoints, key=lambda endpoint: not endpoint.gateway6)
    yield from (endpoint.address for endpoint in [end for end in by_route4 if end.ipv4][:1])
    yield from (endpoint.address6 for endpoint in [end for end in by_route6 if end.ipv6][:1])
