"""Who new connections go to: which replicas serve, and which of them stand behind each published port. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

from reconciler.core.lifecycle import about_to_run
from reconciler.core.model import Running, SeenContainer
from reconciler.core.networking import Endpoint, Port
from reconciler.core.ruleset import Published, Target


def serving(containers: Iterable[SeenContainer], leaving: Set[str], aside: Set[str] = frozenset()) -> frozenset[str]:
    """The ids of the replicas that new connections go to, whoever declared them: the ready ones.

    A service without a ready replica is served by those that are starting: as with Docker, members of a cluster find
    each other before they are well, and whoever comes early is refused there as it would be here. Without these it is
    served by those that are about to run, so that table and names are in force when they are. An unhealthy one never
    serves. `leaving` are ids that will not run again, `aside` those in whose place
    another instance of the same replica serves.
    """
    ranks: tuple[dict[tuple[str, str], set[str]], ...] = (defaultdict(set), defaultdict(set), defaultdict(set))
    for seen in containers:
        rank = _rank(seen, seen.id in leaving)
        if rank is not None and seen.connected and seen.id not in aside:
            ranks[rank][seen.app, seen.service].add(seen.id)
    ready, starting, expected = ranks
    return frozenset[str]().union(*(expected | starting | ready).values())


def _rank(seen: SeenContainer, leaving: bool) -> int | None:
    """0 is ready, 1 starting, 2 about to run; None when no connection goes there."""
    if seen.ready:
        return 0
    if isinstance(seen.state, Running):
        starting = seen.state.stop_sent is None and seen.health is not None and seen.health.state == "starting"
        return 1 if starting else None
    return 2 if not leaving and about_to_run(seen) else None


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
