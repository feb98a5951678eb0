"""A host with two networks and our part of it that concerns names; a name server outside; one container."""

from __future__ import annotations

import os
import select
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.core import dns
from reconciler.core.dns import Asker, View
from reconciler.core.networking import Network, Resolver, SeenNetwork
from reconciler.core.ruleset import Bridge, Rules
from reconciler.host import resolvers, syscalls
from reconciler.host.cgroups import detect
from reconciler.host.lookup import Lookup
from reconciler.host.names import DnsmasqNames
from reconciler.host.observe.names import NameReader, SeenNames
from reconciler.host.resolvers import Places, Served
from reconciler.settings import Settings
from tests.host.network.conftest import ip, within

UPSTREAM, OUTSIDE = "192.0.2.53", "198.51.100.7"
WEB = ("a" * 64, "10.9.0.2\tshop-web-1 web www web.front\nfd00:9::2\tshop-web-1 web www web.front\n")
WEB_2 = ("b" * 64, "10.9.0.3\tshop-web-2 web www web.front\n")
DB = ("c" * 64, "10.8.0.2\tshop-db-1 db db.back\n")
RULES = Rules(
    networks=(
        Bridge(bridge="front", subnet="10.9.0.1/24", subnet6="fd00:9::1/64"),
        Bridge(bridge="back", subnet="10.8.0.1/24", subnet6="fd00:8::1/64"),
    )
)


class Upstream:
    """A name server outside that knows one address, and remembers what it was asked."""

    def __init__(self, address: str) -> None:
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                message, client = self._socket.recvfrom(4096)
                if not message:
                    return
                self.asked.append(asked(message))
                answer = message[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + message[12 : _end(message)]
                answer += struct.pack("!3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(OUTSIDE)
                self._socket.sendto(answer, client)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def _end(message: bytes) -> int:
    place = 12
    while size := message[place]:
        place += 1 + size
    return place + 5


def asked(message: bytes) -> str:
    labels, place = [], 12
    while size := message[place]:
        labels.append(message[place + 1 : place + 1 + size].decode())
        place += 1 + size
    return ".".join(labels)


class Here:
    """A host with two bridges, `front` and the internal `back`, and our part of it that concerns names."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(instance=f"names-{os.getpid()}", run=folder / "run", state=folder)
        self.cgroups = detect(self.settings.instance, "cgroupfs")
        self.places = Places(self.settings.run)
        self.wake()
        for bridge, addresses in (("front", ("10.9.0.1/24", "fd00:9::1/64")), ("back", ("10.8.0.1/24",))):
            make_bridge(bridge, *addresses)

    def wake(self) -> None:
        """A daemon starts."""
        self.lookup = Lookup(self.places.resolved)
        self.names = DnsmasqNames(self.settings, self.cgroups, self.lookup)
        self.reader = NameReader(self.settings, self.lookup.known)

    def resolvers(self, *views: View) -> dict[str, Resolver]:
        networks = {
            "front": Network(name="front", app="shop", spec="s"),
            "back": Network(name="back", app="shop", spec="s", internal=True),
        }
        seen = {
            "front": SeenNetwork(
                name="front", app="shop", spec="s", bridge="front", subnet="10.9.0.1/24", subnet6="fd00:9::1/64"
            ),
            "back": SeenNetwork(name="back", app="shop", spec="s", bridge="back", subnet="10.8.0.1/24"),
        }
        found = dns.resolvers(networks, seen, map(Asker, views), {})
        return {name: one for name, one in found.items() if isinstance(one, Resolver)}

    def serve(self, *views: View) -> dict[str, Resolver]:
        """Serve both networks and these views, with the records of three containers."""
        found = self.resolvers(*views)
        for network in ("front", "back"):
            for address in dns.extra_addresses(found).get(network, ()):
                ip("addr", "add", f"{address}/24", "dev", network)
        self.names.write("front", (WEB, WEB_2))
        self.names.write("back", (DB,))
        for resolver in found.values():
            self.names.serve(resolver)
        return found

    def served(self, name: str = "front") -> Served:
        (found,) = [one for one in resolvers.running(self.places) if one.name == name]
        return found

    def rung(self) -> SeenNames:
        """Wait until the bell rings, and look at what it rang for."""
        assert select.select([self.reader], [], [], 10)[0]
        self.reader.drain()
        return self.reader.look(everything=False)

    def until(self, wanted: Callable[[SeenNames], bool]) -> SeenNames:
        """Look at each ring until it is so: one change may ring more than once."""
        while not wanted(seen := self.rung()):
            pass
        return seen

    def close(self) -> None:
        self.reader.close()
        for served in resolvers.running(self.places):
            resolvers.end(served.process)
        self.cgroups.remove()


def make_bridge(name: str, *addresses: str) -> None:
    ip("link", "add", name, "type", "bridge")
    for address in addresses:
        ip("addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    ip("link", "set", name, "up")


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not wanted():
        assert time.monotonic() < deadline


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where also dnsmasq may go, who is nobody."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def here(namespace: None, folder: Path) -> Iterator[Here]:
    made = Here(folder)
    yield made
    made.close()


@pytest.fixture
def upstream(namespace: None) -> Iterator[Upstream]:
    ip("addr", "add", f"{UPSTREAM}/32", "dev", "lo")
    made = Upstream(UPSTREAM)
    yield made
    made.close()


@pytest.fixture
def etc(mounts: None, folder: Path) -> Iterator[Path]:
    """The host's /etc, to be changed at will."""
    place = folder / "etc"
    place.mkdir()
    syscalls.mount("none", str(place), "tmpfs")
    for name in ("upper", "work"):
        (place / name).mkdir()
    (place / "upper").chmod(0o755)
    syscalls.mount("none", "/etc", "overlay", 0, f"lowerdir=/etc,upperdir={place}/upper,workdir={place}/work")
    try:
        yield Path("/etc")
    finally:
        for mounted in ("/etc", str(place)):
            syscalls.umount(mounted, syscalls.MNT_DETACH)


@pytest.fixture
def container(here: Here, folder: Path) -> Iterator[Path]:
    """The namespace of one that is in `front`."""
    pin = folder / "pin"
    pin.touch()
    maker = threading.Thread(target=_make_namespace, args=(pin,))
    maker.start()
    maker.join()
    try:
        ip("link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", str(pin))
        ip("link", "set", "v0", "master", "front", "up")
        within(pin, lambda: ip("addr", "add", "10.9.0.2/24", "dev", "eth0"))
        within(pin, lambda: ip("addr", "add", "fd00:9::2/64", "dev", "eth0", "nodad"))
        within(pin, lambda: ip("link", "set", "eth0", "up"))
        yield pin
    finally:
        syscalls.umount(str(pin), syscalls.MNT_DETACH)


def _make_namespace(pin: Path) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    syscalls.mount("/proc/thread-self/ns/net", str(pin), "", syscalls.MS_BIND)
