"""The ports Networks, Firewall and Names of the one host in memory, see `fakes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.networking import Endpoint, Network, Pairs, Resolver, SeenNetwork
from reconciler.errors import HostError

if TYPE_CHECKING:
    from tests.fakes import FakeHost


class IllegalCallError(AssertionError):
    """Something was asked that a host cannot do."""


class FakeNetworks:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def create(self, network: Network, bridge: str, subnets: tuple[str, str], extra: tuple[str, ...] = ()) -> None:
        subnet, subnet6 = subnets
        if any(seen.subnet == subnet and seen.name != network.name for seen in self.host.bridges.values()):
            raise IllegalCallError(f"subnet {subnet} is given twice")
        made = SeenNetwork(
            name=network.name,
            app=network.app,
            spec=network.spec,
            bridge=bridge,
            subnet=subnet,
            subnet6=subnet6,
            extra=extra,
        )
        self.host.call(f"network {network.name}", lambda: self.host.bridges.update({network.name: made}))

    def remove(self, name: str, bridge: str) -> None:
        if any(bridge in bridges for bridges in self.host.attached.values()):
            raise IllegalCallError(f"removal of {name}, which is in use")
        self.host.call(f"remove network {name}", lambda: self.host.bridges.pop(name, None))

    def connect(self, id: str, endpoints: tuple[Endpoint, ...]) -> None:
        self.host.get(id)
        bridges = frozenset(end.bridge for end in endpoints)
        missing = bridges - {seen.bridge for seen in self.host.bridges.values()}
        if missing:
            raise HostError(f"cannot connect to {sorted(missing)}: no such bridge")
        self.host.call("connect", lambda: self.host.attached.update({id: bridges}))

    def disconnect(self, id: str) -> None:
        self.host.call("disconnect", lambda: self.host.attached.pop(id, None))


class FakeFirewall:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def apply(self, text: str) -> None:
        self.host.call("apply", lambda: setattr(self.host, "table", text))

    def remove(self) -> None:
        self.host.call("remove table", lambda: setattr(self.host, "table", ""))

    def guard(self, subnets: tuple[str, ...]) -> None:
        self.host.call("guard", lambda: setattr(self.host, "guarded", subnets))


class FakeNames:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def serve(self, resolver: Resolver) -> None:
        bridges = {seen.bridge: seen for seen in self.host.bridges.values()}
        seen = bridges.get(resolver.bridge)
        own = {address.partition("/")[0] for address in (seen.subnet, seen.subnet6, *seen.extra)} if seen else set()
        if not set(resolver.addresses) <= own:
            raise IllegalCallError(f"{resolver.name} listens on addresses that its bridge does not have")
        self.host.call(f"serve {resolver.name}", lambda: self.host.resolvers.update({resolver.name: resolver}))

    def stop(self, name: str) -> None:
        def stop() -> None:
            self.host.resolvers.pop(name, None)
            self.host.names.pop(name, None)

        self.host.call(f"stop serving {name}", stop)

    def write(self, network: str, hosts: Pairs) -> None:
        self.host.call(f"names of {network}", lambda: self.host.names.update({network: hosts}))

    def resolve(self, names: tuple[str, ...]) -> None:
        answers = dict.fromkeys(names, (("192.0.2.1",), self.host.now))
        self.host.call("resolve", lambda: self.host.resolved.update(answers))
