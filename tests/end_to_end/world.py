"""A machine with apps on it, and outside of it a host: everybody who can be asked to reach somebody else.

The specs are those of `crossing/`. Each container, the machine itself and the outside host are stations, which send
and answer. The outside host knows a way to the containers' subnets, as an attacker in the same LAN would.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.end_to_end.host import Host
from tests.end_to_end.namespaces import NETWORK, Namespaces
from tests.end_to_end.stations import Echo, Station
from tests.end_to_end.upstream import Upstream
from tests.host.network.questions import A, Answer, ask, reverse

CROSSING = Path(__file__).with_name("crossing")
RUNS = (
    "other-stranger-1",
    "shop-both-1",
    "shop-companion-1",
    "shop-cousin-1",
    "shop-guarded-1",
    "shop-hosted-1",
    "shop-inside-1",
    "shop-neighbour-1",
    "shop-store-1",
    "shop-web-1",
)
OUTSIDE, ELSEWHERE, LAN = "10.77.0.1", "10.77.0.9", "10.77.0.2"
OUTSIDE6, ELSEWHERE6, LAN6 = "fd77::1", "fd77::9", "fd77::2"
POOLS = ("10.192.0.0/12", "fd72:6563:6f6e::/48")
PUBLISHED, UNPUBLISHED, NAMED, UNNAMED = 80, 81, 7000, 7001  # ports on which is answered


class World:
    """The host of the tests with an outside, and a station for each container by the name of its service."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.echo = Echo()
        self.stations: dict[str, Station] = {}
        self.outside = Namespaces(NETWORK)
        self._cable()

    def _cable(self) -> None:
        machine, outside = self.host.machine.inside, self.outside
        outside.join(machine, f"{OUTSIDE}/24", f"{LAN}/24")
        here, there = f"to-{machine.pid}", f"to-{outside.pid}"
        outside.run("ip", "address", "add", f"{ELSEWHERE}/24", "dev", here)
        for end, name, addresses in ((outside, here, (OUTSIDE6, ELSEWHERE6)), (machine, there, (LAN6,))):
            for address in addresses:
                end.run("ip", "address", "add", f"{address}/64", "dev", name, "nodad")
        for pool, gateway in zip(POOLS, (LAN, LAN6), strict=True):
            outside.run("ip", "route", "add", pool, "via", gateway)
        self._settle(Station("outside", Path(f"/proc/{outside.pid}/ns/net"), 32), (NAMED, UNNAMED))
        self._settle(Station("host", Path(f"/proc/{machine.pid}/ns/net"), 32), ())
        self.upstream = Upstream(self.stations["outside"], OUTSIDE)
        self.host.machine.path(Path("/etc/resolv.conf")).write_text(f"nameserver {OUTSIDE}\n")

    def populate(self, *names: str) -> None:
        """Make stations of these containers, known by their services, or by their names when those are not unique.

        Each answers, but for those that are in the network of somebody else.
        """
        pids = self.host.pids()
        services = Counter(name.split("-")[1] for name in names)
        for name in names:
            namespace = self.host.machine.path(Path("/proc")) / str(pids[name]) / "ns/net"
            service = name.split("-")[1]
            answers = () if service in ("hosted", "companion") else (PUBLISHED, UNPUBLISHED)
            self._settle(Station(service if services[service] == 1 else name, namespace), answers)

    def address(self, name: str, version: int) -> str:
        """The first address of a station in one IP version."""
        return next(one for one in self.stations[name].addresses() if (":" in one) == (version == 6))

    # --- names ---------------------------------------------------------------------------------------------

    def lookup(self, who: str, name: str, kind: int = A) -> Answer:
        """What somebody is told who asks for a name where its resolv.conf says."""
        return self.stations[who].do(ask, self._nameserver(who), name, kind).result()

    def reverse(self, who: str, address: str) -> tuple[str, ...]:
        """What an address is called, for who asks."""
        return self.stations[who].do(reverse, self._nameserver(who), address).result().found

    def _nameserver(self, who: str) -> str:
        root = self.host.machine.inside.root if who == "host" else self.stations[who].namespace.parents[1] / "root"
        lines = (root / "etc/resolv.conf").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith("nameserver"))

    def end(self) -> None:
        """Let go of everything but the machine."""
        self.upstream.end()
        self.echo.end()
        for station in self.stations.values():
            station.end()
        self.outside.end()

    def _settle(self, station: Station, ports: tuple[int, ...]) -> None:
        self.stations[station.name] = station
        if ports:
            self.echo.serve(station, station.addresses(), ports)


def crossing(host: Host) -> World:
    """The specs of `crossing/` in force on `host`, with a station for everybody."""
    world = World(host)
    for source in sorted(CROSSING.glob("*.yaml")):
        host.write(source.name, source.read_text())
    host.start()
    host.until_converged(*RUNS)
    world.populate(*RUNS)
    return world
