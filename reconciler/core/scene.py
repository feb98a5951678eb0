"""Desired and observed joined once per look: what every generator of the plan starts from. Pure; made by `plan`.

Says what belongs to whom: which observed containers are the instances of which name, which are held and stay as they
are, which leave, which networks must be there, and which subnets and addresses are taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from reconciler.core import addresses, removal
from reconciler.core.addresses import Pool, Refused
from reconciler.core.model import Container, Created, Desired, Observed, Running, SeenContainer
from reconciler.core.mounts import volumes_of
from reconciler.core.networking import Endpoint, Ipam, Network, SeenNetwork
from reconciler.core.removal import Decision
from reconciler.core.ruleset import MARK
from reconciler.core.steps import CollectImages, CreateContainer, CreateNetwork, StartContainer, Step, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that decisions depend on. `log_size` in bytes; `started` is when the daemon did, 0 without one."""

    instance: str = "reconciler"
    address_pool: str = "10.192.0.0/12"
    network_prefix: int = 24
    address_pool6: str = "fd72:6563:6f6e::/48"
    log_size: int = 10 * 1024 * 1024
    disk_limit: float = 0.85  # a fuller disk has unused images collected at once
    image_age: float = 7 * 86400.0  # seconds that they are kept otherwise
    restart_unhealthy: bool = True
    max_removal: int | None = 3  # apps that may go at once though they are more than half; None: all of them
    started: float = 0.0
    mark: int = MARK

    @property
    def pools(self) -> tuple[Pool, Pool]:
        """Where automatic subnets come from: IPv4 and IPv6; the latter are of 64 bits each (RFC 4291, 2.5.1)."""
        return Pool(self.address_pool, self.network_prefix), Pool(self.address_pool6, 64)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is wanted and what is there, looked at together. `taken` and `claimed` grow while the plan is made."""

    desired: Desired
    observed: Observed
    policy: Policy
    instances: Mapping[str, tuple[SeenContainer, ...]]  # by name, newest first
    kept: tuple[SeenContainer, ...]  # held: no spec says anything of them now, so they stay as they are
    leaving: tuple[SeenContainer, ...]  # no longer in any spec
    networks: Mapping[str, Network]  # what must be there: declared, or used by what is kept
    subnets: Mapping[str, tuple[str | Refused, str | Refused]]  # IPv4 and IPv6, "" for none
    removal: Decision
    collecting: CollectImages | None = None  # unused images are being thrown away, all but these
    taken: dict[str, set[str]] = field(default_factory=dict)  # network -> addresses
    claimed: dict[str, str] = field(default_factory=dict)  # exclusive volume -> who starts with it now
    aside: frozenset[str] = frozenset()  # ids in whose place another instance of the same name serves

    @property
    def ending(self) -> frozenset[str]:
        """The ids of what will not run again."""
        return frozenset(seen.id for seen in self.leaving)

    def siblings(self, container: Container) -> Sequence[Container]:
        """All replicas of its service, itself among them."""
        service = (container.app, container.service)
        return [other for other in self.desired.containers.values() if (other.app, other.service) == service]

    def held(self, app: str, spec: str, now: float) -> bool:
        """Whether nothing of this app may be removed, because its spec cannot be read now."""
        return _held(self.desired, self.removal.stays, app, spec, now)

    def bridge(self, network: Network) -> str:
        """The link that stands for `network` on the host, "" for drivers that have none."""
        if network.driver != "bridge":
            return ""
        return network.bridge or addresses.bridge_name(self.policy.instance, network.name)

    def exclusive(self, volume: str) -> bool | None:
        """Whether a volume is for one container at a time, None when its spec does not say."""
        return _exclusive(self.desired, volume)

    def claim(self, volumes: Iterable[str], id: str) -> None:
        """Container `id` is about to start: nobody else is with these volumes, where they are exclusive."""
        self.claimed.update({volume: id for volume in volumes if self.exclusive(volume)})

    def usable(self, name: str) -> bool:
        """Whether containers can join: a bridge is there before its address is."""
        network, (subnet, subnet6) = self.networks.get(name), self.subnets.get(name, ("", ""))
        if network is None or isinstance(subnet, Refused) or isinstance(subnet6, Refused):
            return False
        seen = self.observed.networks.get(name)
        return network.driver != "bridge" or (seen is not None and in_force(seen, subnet, subnet6))


def in_force(seen: SeenNetwork, subnet: str, subnet6: str) -> bool:
    """Whether the bridge has the addresses that it should have."""
    return seen.subnet == subnet and seen.subnet6 == subnet6


def scene(desired: Desired, observed: Observed, now: float, policy: Policy, doing: Sequence[Task]) -> Scene:
    """Everything that is the same for all generators; `doing` are the tasks that run already."""
    instances: dict[str, list[SeenContainer]] = defaultdict(list)
    leave = removal.decide(desired, observed, policy.max_removal, now)
    for seen in sorted(observed.containers.values(), key=lambda seen: (-seen.created_at, seen.id)):
        instances[seen.name].append(seen)
    in_hand = {step.id for step in _steps(doing) if isinstance(step, CreateContainer)}  # still without a record
    undeclared = [
        seen
        for name in sorted(instances)
        if name not in desired.containers
        for seen in instances[name]
        if seen.id not in in_hand
    ]
    kept = tuple(seen for seen in undeclared if _held(desired, leave.stays, seen.app, seen.spec, now))
    staying = frozenset(seen.id for seen in kept)
    networks = {endpoint.network.name: endpoint.network for seen in kept for endpoint in seen.endpoints}
    networks |= desired.networks
    return Scene(
        desired=desired,
        observed=observed,
        policy=policy,
        instances={name: tuple(found) for name, found in instances.items()},
        kept=kept,
        leaving=tuple(seen for seen in undeclared if seen.id not in staying),
        networks=networks,
        subnets=_subnets(networks, observed, policy, doing),
        removal=leave,
        collecting=next((step for step in _steps(doing) if isinstance(step, CollectImages)), None),
        taken=_addresses_in_use(observed, doing),
        claimed=_claimed(desired, observed, doing),
    )


def _held(desired: Desired, stays: frozenset[str], app: str, spec: str, now: float) -> bool:
    vanishing = now < desired.vanished.get(app, now)
    return vanishing or app in stays or bool(desired.unavailable) or app in desired.held or spec in desired.held


def _subnets(
    networks: Mapping[str, Network], observed: Observed, policy: Policy, doing: Sequence[Task]
) -> Mapping[str, tuple[str | Refused, str | Refused]]:
    pool4, pool6 = policy.pools
    known4, known6 = _subnets_in_force(observed, doing)
    addressed = {name: network for name, network in networks.items() if network.driver != "cni"}
    ipv4 = _chosen({name: network.ipv4 for name, network in addressed.items()}, networks, known4, observed, pool4)
    with_ipv6 = {name: network.ipv6 for name, network in addressed.items() if network.enable_ipv6}
    ipv6 = _chosen(with_ipv6, networks, known6, observed, pool6)
    return {name: (ipv4.get(name, ""), ipv6.get(name, "")) for name in networks}


def _chosen(
    wanted: Mapping[str, Ipam],
    networks: Mapping[str, Network],
    known: Mapping[str, str],
    observed: Observed,
    pool: Pool,
) -> Mapping[str, str | Refused]:
    """What is declared for a network past the host is no subnet of ours: it is that of the host's own neighbours."""
    past = {name: addresses.declared(ipam) for name, ipam in wanted.items() if networks[name].driver != "bridge"}
    given = {name: subnet for name, subnet in past.items() if subnet}
    ours = {name: ipam for name, ipam in wanted.items() if name not in given}
    return {**(addresses.subnets(ours, known, observed.routes, pool) if ours else {}), **given}


def _subnets_in_force(observed: Observed, doing: Sequence[Task]) -> tuple[dict[str, str], dict[str, str]]:
    """What each network's subnets are, by its bridge, or, when a reboot took that, by its containers' addresses."""
    ends = [(end.network.name, end.ipv4, end.ipv6) for end in _endpoints(observed)]
    bridges = [(name, seen.subnet, seen.subnet6) for name, seen in observed.networks.items()]
    coming = [
        (step.network.name, step.subnet, step.subnet6) for step in _steps(doing) if isinstance(step, CreateNetwork)
    ]
    known = [*ends, *bridges, *coming]  # the later ones know better
    return {name: ipv4 for name, ipv4, _ in known if ipv4}, {name: ipv6 for name, _, ipv6 in known if ipv6}


def _addresses_in_use(observed: Observed, doing: Sequence[Task]) -> dict[str, set[str]]:
    taken: dict[str, set[str]] = defaultdict(set)
    created = (step.joint.endpoints for step in _steps(doing) if isinstance(step, CreateContainer))
    for endpoint in chain(_endpoints(observed), chain.from_iterable(created)):
        taken[endpoint.network.name].update(filter(None, (endpoint.address, endpoint.address6)))
    return taken


def _claimed(desired: Desired, observed: Observed, doing: Sequence[Task]) -> dict[str, str]:
    """Who has an exclusive volume, or is about to have it: by the volume's name an id."""
    users = [
        (seen.id, seen.volumes) for seen in observed.containers.values() if isinstance(seen.state, Running | Created)
    ]
    for step in _steps(doing):
        if isinstance(step, CreateContainer):
            users.append((step.id, volumes_of(step.container)))
        elif isinstance(step, StartContainer) and step.id in observed.containers:
            users.append((step.id, observed.containers[step.id].volumes))
    return {volume: id for id, volumes in users for volume in volumes if _exclusive(desired, volume)}


def _exclusive(desired: Desired, volume: str) -> bool | None:
    """What its spec says, None when that says nothing."""
    return desired.volumes[volume].exclusive if volume in desired.volumes else None


def _endpoints(observed: Observed) -> Iterator[Endpoint]:
    return chain.from_iterable(seen.endpoints for seen in observed.containers.values())


def _steps(tasks: Sequence[Task]) -> Iterator[Step]:
    return chain.from_iterable(task.steps for task in tasks)
