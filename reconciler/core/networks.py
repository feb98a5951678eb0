"""What the network side of the host needs now: bridges, what routing refuses, the ruleset. Pure.

One generator per kind of resource, each with tasks for what differs and waits for what cannot be; called by `plan`.
Containers' own ends are part of their life and stand in `lifecycle`, names in `naming`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_interface

from reconciler.core import dns, ruleset
from reconciler.core.addresses import Refused
from reconciler.core.frontends import frontends, serving
from reconciler.core.model import Running, SeenContainer, digest
from reconciler.core.networking import Destination, Endpoint, Resolver, SeenNetwork
from reconciler.core.reach import Reach, is_network
from reconciler.core.ruleset import Bound, Bridge, Restricted, Rules
from reconciler.core.scene import Scene, in_force
from reconciler.core.steps import (
    ApplyRuleset,
    CreateNetwork,
    GuardRoutes,
    RemoveNetwork,
    RemoveRuleset,
    Task,
    Wait,
)
from reconciler.core.wiring import veth_name


@dataclass(frozen=True, slots=True)
class Table:
    """The ruleset as it should be. `digest` is of `text`; both are "" while there is no network."""

    text: str = ""
    digest: str = ""
    summary: str = ""


# --- bridges -----------------------------------------------------------------------------------------------------


def bridges(scene: Scene, found: Mapping[str, Resolver | Refused], now: float) -> Iterator[Task | Wait]:
    """Every network that must be there, and those that nothing uses any more."""
    extra = dns.extra_addresses(found)
    used = {end.network.name for end in running_ends(scene)}
    for name, network in sorted(scene.networks.items()):
        subnet, subnet6 = scene.subnets[name]
        if isinstance(subnet, Refused):
            yield Wait(f"network:{name}", subnet.message, code="no-address")
        elif isinstance(subnet6, Refused):
            yield Wait(f"network:{name}", subnet6.message, code="no-address")
        elif network.driver == "bridge":
            step = CreateNetwork(network, scene.bridge(network), subnet, subnet6, extra.get(name, ()))
            if cause := _why(step, scene.observed.networks.get(name), name in used):
                yield Task(f"network:{name}", cause, (step,), drift=cause.startswith("drifted"))
    for name, seen in sorted(scene.observed.networks.items()):
        unused = name not in scene.networks and not scene.taken.get(name)
        if unused and not scene.held(seen.app, seen.spec, now):
            yield Task(f"network:{name}", "not in any spec", (RemoveNetwork(name, seen.bridge),))


def _why(step: CreateNetwork, seen: SeenNetwork | None, used: bool) -> str:
    """Why the bridge must be made or mended, "" when it is as it should be; `used` by containers that run."""
    if seen is None:
        return f"drifted: bridge {step.bridge} is gone" if used else "missing"
    if seen.drift:
        return f"drifted: {seen.drift}"
    if not in_force(seen, step.subnet, step.subnet6):
        return f"it has {', '.join(filter(None, (seen.subnet, seen.subnet6))) or 'no address'}"
    if set(step.extra) != set(seen.extra):
        return "its resolvers need other addresses"
    if step.network.mtu and seen.mtu and step.network.mtu != seen.mtu:
        return f"its MTU is {seen.mtu}"
    return ""


# --- what routing refuses ----------------------------------------------------------------------------------------


def guard(scene: Scene) -> Iterator[Task | Wait]:
    """Routing refuses what our table has not judged: so whoever flushes all rules opens nothing."""
    bridged = (both for name, both in scene.subnets.items() if scene.networks[name].driver == "bridge")
    declared = (subnet for both in bridged for subnet in both if isinstance(subnet, str))
    seen = (subnet for network in scene.observed.networks.values() for subnet in (network.subnet, network.subnet6))
    wanted = tuple(sorted({_network(subnet) for subnet in (*declared, *seen) if subnet}))
    if wanted == tuple(sorted(scene.observed.guarded)):
        return
    used = {_network(address) for end in running_ends(scene) for address in (end.ipv4, end.ipv6) if address}
    lost = sorted(used - set(scene.observed.guarded))
    cause = f"drifted: {lost[0]} is not guarded" if lost else "changed"
    yield Task("guard", cause, (GuardRoutes(wanted),), drift=bool(lost))


@lru_cache(maxsize=4096)
def _network(subnet: str) -> str:
    return str(ip_interface(subnet).network)


# --- the table ---------------------------------------------------------------------------------------------------


def table(scene: Scene) -> Table:
    """The one table of ours as it should be now."""
    if not scene.observed.networks:
        return Table()
    serve = serving(scene.observed.containers.values(), scene.ending, scene.aside)
    containers = scene.observed.containers.values()
    rules = Rules(
        networks=tuple(sorted(_networks(scene), key=lambda network: network.bridge)),
        published=frontends(one for one in containers if one.id in serve),
        restricted=tuple(_restricted(scene, one) for one in containers if one.egress is not None and one.endpoints),
        bound=tuple(_bound(containers)),
        mark=scene.policy.mark,
    )
    return _rendered(scene.policy.instance, rules)


@lru_cache(maxsize=1)  # most looks find the same networks and ports as the one before
def _rendered(instance: str, rules: Rules) -> Table:
    text = ruleset.render(instance, rules)
    summary = f"networks: {len(rules.networks)}, published ports: {len(rules.published)}"
    return Table(text, digest(text), summary)


def _networks(scene: Scene) -> Iterator[Bridge]:
    """Those that are there and those that are to be: a bridge that comes, or comes back, is closed from the start."""
    for name, seen in scene.observed.networks.items():
        network = scene.networks.get(name)
        internal = network is not None and network.internal
        yield Bridge(bridge=seen.bridge, subnet=seen.subnet, subnet6=seen.subnet6, internal=internal)
    for name in scene.networks.keys() - scene.observed.networks.keys():
        network, (subnet, subnet6) = scene.networks[name], scene.subnets[name]
        if network.driver == "bridge" and isinstance(subnet, str) and isinstance(subnet6, str):
            bridge = scene.bridge(network)
            yield Bridge(bridge=bridge, subnet=subnet, subnet6=subnet6, internal=network.internal)


def _bound(containers: Iterable[SeenContainer]) -> Iterator[Bound]:
    """Nobody speaks under another's address, but who may give himself one."""
    for seen in containers:
        for place, end in enumerate(seen.endpoints if not seen.net_admin else ()):
            if end.bridge and (addresses := tuple(filter(None, (end.address, end.address6)))):
                yield Bound(link=veth_name(seen.id, place), addresses=addresses)


def _restricted(scene: Scene, seen: SeenContainer) -> Restricted:
    addresses = (address for end in seen.endpoints for address in (end.address, end.address6) if address)
    reaches = (reach for entry in seen.egress or () for reach in _reaches(scene, entry))
    return Restricted(addresses=tuple(addresses), destinations=tuple(reaches))


def _reaches(scene: Scene, entry: Destination) -> Iterator[Reach]:
    hosts, _ = ((entry.host,), 0.0) if is_network(entry.host) else scene.observed.resolved.get(entry.host, ((), 0.0))
    for host in hosts:
        yield Reach(network=host, ports=entry.ports, protocol=entry.protocol)


def firewall(scene: Scene, wanted: Table) -> Iterator[Task | Wait]:
    """Puts `wanted` in force."""
    if not wanted.text:
        if scene.observed.ruleset and not scene.networks:  # a bridge that is only gone for now must not open anything
            yield Task("firewall", "no networks", (RemoveRuleset(),))
    elif wanted.digest != scene.observed.ruleset:
        lost = not scene.observed.ruleset and any(True for _ in running_ends(scene))
        cause = "missing, or changed by somebody else" if not scene.observed.ruleset else "changed"
        step = ApplyRuleset(wanted.text, wanted.summary)
        yield Task("firewall", f"drifted: {cause}" if lost else cause, (step,), drift=lost)


def running_ends(scene: Scene) -> Iterator[Endpoint]:
    """The ends of all containers that run."""
    running = (seen for seen in scene.observed.containers.values() if isinstance(seen.state, Running))
    return (end for seen in running for end in seen.endpoints if end.bridge)
