"""What the network side of the host needs now: bridges, what routing refuses, the ruleset. Pure; called by `plan`.

One generator per kind of resource, each with tasks for what differs and waits for what cannot be. Containers' own ends
are part of their life and stand in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from reconciler.core import ruleset
from reconciler.core.addresses import Refused
from reconciler.core.frontends import frontends
from reconciler.core.model import digest
from reconciler.core.networking import Network, SeenNetwork
from reconciler.core.scene import Scene, in_force
from reconciler.core.steps import ApplyRuleset, CreateNetwork, RemoveNetwork, RemoveRuleset, Task, Wait


def bridges(scene: Scene, now: float) -> Iterator[Task | Wait]:
    """Every network that must be there, and those that nothing uses any more."""
    for name, network in sorted(scene.networks.items()):
        subnet, subnet6 = scene.subnets[name]
        if isinstance(subnet, Refused):
            yield Wait(f"network:{name}", subnet.message)
        elif isinstance(subnet6, Refused):
            yield Wait(f"network:{name}", subnet6.message)
        elif cause := _why(network, scene.observed.networks.get(name), subnet, subnet6):
            step = CreateNetwork(network, scene.bridge(network), subnet, subnet6)
            yield Task(f"network:{name}", cause, (step,), drift=cause.startswith("drifted"))
    for name, seen in sorted(scene.observed.networks.items()):
        unused = name not in scene.networks and not scene.taken.get(name)
        if unused and not scene.held(seen.app, seen.spec, now):
            yield Task(f"network:{name}", "not in any spec", (RemoveNetwork(name, seen.bridge),))


def _why(network: Network, seen: SeenNetwork | None, subnet: str, subnet6: str) -> str:
    """Why the bridge must be made or mended, "" when it is as it should be, or when the driver has none."""
    if seen is None:
        return "missing" if network.driver == "bridge" else ""
    if seen.drift:
        return f"drifted: {seen.drift}"
    if not in_force(seen, subnet, subnet6):
        has = ", ".join(filter(None, (seen.subnet, seen.subnet6))) or "no address"
        return f"drifted: it has {has}"
    if network.mtu and seen.mtu and network.mtu != seen.mtu:
        return f"drifted: its MTU is {seen.mtu}"
    return ""


def firewall(scene: Scene) -> Iterator[Task | Wait]:
    """The one table of ours."""
    bridges = tuple(sorted((seen.bridge, seen.subnet) for seen in scene.observed.networks.values()))
    if not bridges:
        if scene.observed.ruleset and not scene.networks:  # a bridge that is only gone for now must not open anything
            yield Task("firewall", "no networks", (RemoveRuleset(),))
        return
    published = frontends(scene.observed.containers.values(), frozenset(seen.id for seen in scene.leaving))
    text, made = _ruleset(scene.policy.instance, bridges, published)
    if made != scene.observed.ruleset:
        cause = "changed" if scene.observed.ruleset else "missing, or changed by somebody else"
        summary = f"networks: {len(bridges)}, published ports: {len(published)}"
        yield Task("firewall", cause, (ApplyRuleset(text, summary),))


@lru_cache(maxsize=1)  # most looks find the same networks and ports as the one before
def _ruleset(
    instance: str, bridges: tuple[tuple[str, str], ...], published: tuple[ruleset.Published, ...]
) -> tuple[str, str]:
    """The text and its digest."""
    text = ruleset.render(instance, bridges, published)
    return text, digest(text)
