"""Which replicas stand behind each published port now. Pure; `plan` renders the answer into the ruleset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set

from reconciler.core.lifecycle import about_to_run
from reconciler.core.model import Running, SeenContainer
from reconciler.core.networking import Protocol
from reconciler.core.ruleset import Published, Target

_Frontend = tuple[Protocol, str, int]  # protocol, host address, port: what a client connects to


def frontends(containers: Iterable[SeenContainer], leaving: Set[str]) -> tuple[Published, ...]:
    """Every published port with the replicas behind it, whoever declared them: what runs is reachable.

    A port without a running replica leads to those that are about to run: the table then is in force when they are,
    and until then a client is refused there as it would be here. `leaving` are ids of containers that will not.
    """
    running: dict[_Frontend, list[Target]] = defaultdict(list)
    expected: dict[_Frontend, list[Target]] = defaultdict(list)
    for seen in containers:
        if seen.address and seen.connected:
            runs = isinstance(seen.state, Running) and seen.state.stop_sent is None
            if runs or (seen.id not in leaving and about_to_run(seen)):
                for port in seen.ports:
                    found = running if runs else expected
                    found[port.protocol, port.host_ip, port.published].append((seen.address, port.target))
    return tuple(
        Published(protocol=protocol, host_ip=host_ip, port=port, targets=tuple(found))
        for (protocol, host_ip, port), found in (expected | running).items()
    )
