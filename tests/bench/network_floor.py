"""What T9 is measured against: the same network by hand-packed netlink, and by `ip` and `nft` as separate programs.

Neither shares code with the product. The floor holds its namespaces by descriptors and checks nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from threading import Lock

from tests.bench import netlink
from tests.bench.floor import new_namespace

FIRST_PORT = 20000
FIRST = IPv4Address("10.77.1.0")
GATEWAY, PREFIX, BRIDGE = "10.77.0.1", 16, "floor0"
WORKERS = 4


class Records:
    """A file for each name, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, address: str) -> None:
        """Put one there."""
        half = self._folder / f".{name}"
        half.write_text(f"{address}\tweb {name} web.bench_default\n")
        half.rename(self._folder / name)

    def remove(self, names: Iterable[str]) -> None:
        """Take them away."""
        for name in names:
            (self._folder / name).unlink()


class Floor:
    """Hand-packed messages, a namespace that a descriptor holds, an element for the port."""

    name = "floor-netlink"

    def __init__(self, folder: Path) -> None:
        self._records, self._lock = Records(folder), Lock()
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._links, self._rules = netlink.Netlink(), netlink.Netlink(netlink.NETFILTER)
        subprocess.run(["nft", "-f", "-"], input=netlink.RULES, text=True, check=True)
        self._bridge = self._links.bridge(BRIDGE, GATEWAY, PREFIX)
        self._numbers = count(1)
        self._there: dict[str, tuple[int, int, str]] = {}  # namespace, port, address
        self._changed = ""

    def up(self, size: int) -> None:
        """So many containers."""
        places = [(next(self._numbers), FIRST_PORT + place) for place in range(size)]
        if size == 1:
            self._start(*places[0])
        else:
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(lambda place: self._start(*place), places))

    def _start(self, number: int, port: int) -> None:
        address = str(FIRST + number)
        namespace, inner = new_namespace(self._home)
        with self._lock:
            self._links.veth(number, self._bridge, namespace)
            self._rules.element(netlink.NEWSETELEM, port, address)
        inner.inside(address, PREFIX, GATEWAY)
        inner.close()
        self._records.write(f"web-{number}", address)
        self._there[f"web-{number}"] = (namespace, port, address)

    def down(self) -> None:
        """All of them: the kernel takes the links away with the namespaces."""
        for namespace, port, address in self._there.values():
            self._rules.element(netlink.DELSETELEM, port, address)
            os.close(namespace)
        self._records.remove(self._there)
        self._there = {}

    def publish(self, ports: int) -> None:
        """So many ports, each of a container."""
        for port in range(ports):
            self._rules.element(netlink.NEWSETELEM, FIRST_PORT + port, str(FIRST + port))
        self._changed = str(FIRST)

    def change(self) -> None:
        """One of them leads elsewhere."""
        self._rules.element(netlink.DELSETELEM, FIRST_PORT, self._changed)
        self._changed = str(FIRST + next(self._numbers))
        self._rules.element(netlink.NEWSETELEM, FIRST_PORT, self._changed)


class Processes:
    """One program for each step."""

    name = "ip-and-nft"

    def __init__(self, folder: Path) -> None:
        self._records, self._numbers = Records(folder), count(1)
        self._there: dict[str, tuple[int, str]] = {}  # port, address
        _run("nft", netlink.RULES)
        _run(f"ip link add {BRIDGE} up type bridge")
        _run(f"ip address add {GATEWAY}/{PREFIX} dev {BRIDGE}")

    def up(self, size: int) -> None:
        """So many containers, some at the same time."""
        places = [(next(self._numbers), FIRST_PORT + place) for place in range(size)]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda place: self._start(*place), places))

    def _start(self, number: int, port: int) -> None:
        name, address = f"web-{number}", str(FIRST + number)
        _run(f"ip netns add {name}")
        _run(f"ip link add fl{number} type veth peer name eth0 netns {name}")
        _run(f"ip link set fl{number} master {BRIDGE} up")
        for command in ("link set lo up", "link set eth0 up", f"address add {address}/{PREFIX} dev eth0"):
            _run(f"ip -n {name} {command}")
        _run(f"ip -n {name} route add default via {GATEWAY}")
        _run(f"nft add element {self._element(port, f': {address} . 80')}")
        self._records.write(name, address)
        self._there[name] = (port, address)

    def down(self) -> None:
        """All of them."""
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._stop, self._there))
        self._records.remove(self._there)
        self._there = {}

    def _stop(self, name: str) -> None:
        port, _ = self._there[name]
        _run(f"nft delete element {self._element(port)}")
        _run(f"ip link delete fl{name.removeprefix('web-')}")
        _run(f"ip netns delete {name}")

    def publish(self, ports: int) -> None:
        """So many ports, each of a container."""
        self._publish(range(ports), 0)

    def change(self) -> None:
        """One of them leads elsewhere."""
        _run(f"nft delete element {self._element(FIRST_PORT)}")
        self._publish(range(1), next(self._numbers))

    def _publish(self, ports: range, offset: int) -> None:
        for port in ports:
            _run(f"nft add element {self._element(FIRST_PORT + port, f': {FIRST + port + offset} . 80')}")

    def _element(self, port: int, data: str = "") -> str:
        return f"ip {netlink.TABLE} {netlink.PORTS} {{ {port} {data} }}"


def _run(command: str, text: str = "") -> None:
    argv = [*command.split(), *(["-f", "-"] if text else [])]
    subprocess.run(argv, input=text.encode(), check=True, stdout=subprocess.DEVNULL)
