"""The product's side of T9: its adapters for networks, firewall and names, called as its executor calls them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

from reconciler.core.addresses import bridge_name
from reconciler.core.model import digest
from reconciler.core.networking import Endpoint, Network
from reconciler.core.ruleset import Bridge, Published, Rules, render
from reconciler.host.cgroups import detect
from reconciler.host.firewall import Nftables
from reconciler.host.lookup import Lookup
from reconciler.host.names import DnsmasqNames
from reconciler.host.networks import BridgeNetworks
from reconciler.settings import Settings

WORKERS = 4  # as the daemon has
FIRST_PORT = 20000
FIRST = IPv4Address("10.77.1.0")
GATEWAY, PREFIX = "10.77.0.1", 16


class Adapters:
    """One network with the containers of a turn; the daemon's text is rendered anew for each change."""

    name = "adapters"

    def __init__(self, folder: Path) -> None:
        settings = Settings(instance="bench", state=folder, run=folder)
        self._networks, self._firewall = BridgeNetworks(settings), Nftables(settings)
        self._names = DnsmasqNames(settings, detect(settings.instance), Lookup(folder / "resolved.json"))
        self._network = Network(name="bench_default", app="bench", spec="bench.yaml")
        self._bridge = bridge_name(settings.instance, self._network.name)
        self._numbers = count()
        self._published: dict[int, str] = {}
        self._there: dict[str, Endpoint] = {}
        self._networks.create(self._network, self._bridge, (f"{GATEWAY}/{PREFIX}", ""))
        self._apply()

    def up(self, size: int) -> None:
        """So many containers."""
        new = dict(self._endpoint(next(self._numbers)) for _ in range(size))
        if size == 1:
            self._connect(*next(iter(new.items())))
        else:
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(self._connect, new, new.values()))
        self._there = new
        self._published = {FIRST_PORT + place: endpoint.address for place, endpoint in enumerate(new.values())}
        self._in_force()

    def down(self) -> None:
        """All of them."""
        gone, self._there, self._published = self._there, {}, {}
        self._in_force()
        if len(gone) == 1:
            self._networks.disconnect(*gone)
        else:
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(self._networks.disconnect, gone))

    def publish(self, ports: int) -> None:
        """So many ports, each of a container."""
        self._published = {FIRST_PORT + port: str(FIRST + port) for port in range(ports)}
        self._apply()

    def change(self) -> None:
        """One of them leads elsewhere."""
        self._published[FIRST_PORT] = str(FIRST + len(self._published) + next(self._numbers))
        self._apply()

    def _endpoint(self, number: int) -> tuple[str, Endpoint]:
        address = FIRST + number
        endpoint = Endpoint(
            network=self._network,
            bridge=self._bridge,
            interface="eth0",
            ipv4=f"{address}/{PREFIX}",
            gateway4=GATEWAY,
        )
        return digest(f"container {number}"), endpoint

    def _connect(self, id: str, endpoint: Endpoint) -> None:
        self._networks.connect(id, (endpoint,))

    def _in_force(self) -> None:
        self._apply()
        records = ((id, f"{end.address}\tweb {id[:12]} web.bench_default\n") for id, end in self._there.items())
        self._names.write(self._network.name, tuple(records))

    def _apply(self) -> None:
        bridge = Bridge(bridge=self._bridge, subnet=f"{GATEWAY}/{PREFIX}")
        published = (
            Published(port=port, host_ip="127.0.0.1", targets=((address, 80),))
            for port, address in self._published.items()
        )
        self._firewall.apply(render("bench", Rules(networks=(bridge,), published=tuple(published))))
