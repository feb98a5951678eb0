"""Who is asked whether it is well, how, and where it is reached: one target for each container that runs. Pure.

`daemon.probes` is told all targets after each look at the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.health import Health, Healthcheck
from reconciler.core.model import Running, SeenContainer

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Where:
    """An address, and a process in whose network namespace it is reached; 0 is the host's own."""

    address: str
    process: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One run of a container. `since` is when it started, `health` what is known of it."""

    id: str
    since: float
    check: Healthcheck
    health: Health
    where: Where

    @property
    def phase(self) -> float:
        """From 0 to 1, another for each container."""
        return int(self.id[:8], 16) / 2**32


def targets(containers: Mapping[str, SeenContainer]) -> dict[str, Target]:
    """By id. What is stopping is asked no more."""
    found: dict[str, Target] = {}
    for id, seen in containers.items():
        state = seen.state
        if not isinstance(state, Running) or state.stop_sent is not None or seen.healthcheck is None:
            continue
        where = _where(containers.get(seen.shares, seen), state.pid)
        health = seen.health or Health(since=state.since)
        found[id] = Target(id=id, since=state.since, check=seen.healthcheck, health=health, where=where)
    return found


def _where(owner: SeenContainer, process: int) -> Where:
    """From the host where it can be reached from there; it cannot talk to children of its own macvlan and ipvlan."""
    if owner.host_network:
        return Where(LOOPBACK)
    first = next((end for end in owner.endpoints if end.address), None)
    if first is not None and first.network.driver == "bridge":
        return Where(first.address)
    return Where(LOOPBACK, process)
