"""A host of its own for each test: network namespace, bridges, containers that serve, and somebody outside.

The thread of the test moves into a new network namespace and back; mounts are made in a mount namespace that the
test run keeps to itself. A container is its namespace only: who serves in it is a thread of the test with a socket
that was made there, as a socket stays where it was made.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from reconciler.core.addresses import bridge_name
from reconciler.core.model import digest
from reconciler.core.networking import Endpoint, Network
from reconciler.core.ruleset import Bridge, Published, Rules, render
from reconciler.core.wiring import disconnected
from reconciler.host import syscalls
from reconciler.host.firewall import Nftables
from reconciler.host.namespaces import pinned
from reconciler.host.networks import BridgeNetworks
from reconciler.host.observe.links import LinkReader
from reconciler.settings import Settings

T = TypeVar("T")

HOST = "192.0.2.1"  # the host, as seen by the one outside
OUTSIDE = "192.0.2.2"


def ip(*words: str) -> str:
    """The distribution's `ip`, as a second opinion on what our own messages did."""
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    return done.stdout


def nft(*words: str, input: str = "") -> str:
    done = subprocess.run(["nft", *words], input=input, check=True, capture_output=True, text=True)
    return done.stdout


def within(namespace: Path, work: Callable[[], T]) -> T:
    """Do `work` in a thread that is in the namespace."""

    def run() -> T:
        with open(namespace) as descriptor:
            syscalls.setns(descriptor.fileno(), syscalls.CLONE_NEWNET)
        return work()

    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(run).result()


class World:
    """One host with our adapters on it, and one machine outside."""

    def __init__(self, run: Path, closing: ExitStack) -> None:
        self.settings = Settings(instance="test", run=run, state=run)
        self.networks = BridgeNetworks(self.settings)
        self.firewall = Nftables(self.settings)
        self.reader = LinkReader(self.settings)
        self.known: dict[str, str] = {}  # network -> subnet
        self.known6: dict[str, str] = {}
        self.declared: dict[str, Network] = {}
        self.joined: dict[str, tuple[Endpoint, ...]] = {}  # by container
        self.closing = closing
        self.outside = run / "outside"
        closing.callback(self.reader.close)
        closing.callback(self.firewall.close)

    # --- the host ---

    def network(self, name: str, ipv6: bool = False, mtu: int = 0) -> str:
        """A network; its bridge."""
        bridge = bridge_name("test", name)
        self.known.setdefault(name, f"10.192.{len(self.known) + 3}.1/24")
        if ipv6:
            self.known6.setdefault(name, f"fd00:{len(self.known6) + 3}::1/64")
        network = Network(name=name, app=name, spec=f"{name}.toml", enable_ipv6=ipv6, mtu=mtu)
        self.declared.setdefault(name, network)
        self.networks.create(self.declared[name], bridge, (self.known[name], self.known6.get(name, "")))
        return bridge

    def container(self, network: str, number: int, *others: str) -> str:
        """A container connected to the network, which has its default route, and to the others; its id."""
        id = self.id(network, number)
        places = [self.endpoint(name, number, place) for place, name in enumerate((network, *others))]
        self.join(id, *places)
        return id

    def endpoint(self, network: str, number: int, place: int = 0) -> Endpoint:
        """Container `number`'s place in a network."""
        subnet, subnet6 = self.known[network], self.known6.get(network, "")
        return Endpoint(
            network=self.declared[network],
            bridge=bridge_name("test", network),
            interface=f"eth{place}",
            ipv4=f"{self.address(network, number)}/24",
            ipv6=subnet6 and subnet6.replace("::1/", f"::{number}/"),
            gateway4="" if place else subnet.partition("/")[0],
            gateway6="" if place else subnet6.partition("/")[0],
        )

    def join(self, id: str, *endpoints: Endpoint) -> None:
        """Connect a container to its networks."""
        self.joined[id] = endpoints
        self.networks.connect(id, endpoints)

    def fault(self, id: str, full: bool = True) -> str:
        """What is wrong with a container's links, as a look sees it."""
        links = self.reader.look(full)
        return disconnected(self.joined.get(id, ()), links.insides.get(id), links.ends.get(id, {}))

    def drift(self, network: str) -> str:
        """What is wrong with a network, as a look sees it."""
        return self.reader.look().networks[network].drift

    def address(self, network: str, number: int) -> str:
        return self.known[network].removesuffix(".1/24") + f".{number}"

    def id(self, network: str, number: int) -> str:
        return digest(f"{network} {number}")

    def pin(self, network: str, number: int) -> Path:
        """The namespace of a container."""
        return self.settings.run / "netns" / self.id(network, number)

    def publish(self, *published: Published) -> str:
        """Put the ruleset for all networks in force; its text."""
        networks = tuple(Bridge(bridge=bridge_name("test", name), subnet=subnet) for name, subnet in self.known.items())
        text = render("test", Rules(networks=networks, published=published))
        self.firewall.apply(text)
        return text

    def plug_outside(self) -> None:
        """A machine outside, joined to the host by a cable."""
        self.outside.touch()
        with ThreadPoolExecutor(max_workers=1) as threads:
            threads.submit(self._make_outside).result()
        ip("link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", str(self.outside))
        ip("addr", "add", f"{HOST}/24", "dev", "cable")
        ip("link", "set", "cable", "up")
        within(self.outside, lambda: ip("addr", "add", f"{OUTSIDE}/24", "dev", "eth0"))
        within(self.outside, lambda: ip("link", "set", "eth0", "up"))
        within(self.outside, lambda: ip("route", "add", "default", "via", HOST))

    def _make_outside(self) -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        syscalls.mount("/proc/thread-self/ns/net", str(self.outside), "", syscalls.MS_BIND)

    # --- who serves and who asks ---

    def serve(
        self,
        namespace: Path,
        port: int,
        name: str,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> None:
        """Answer everybody at `port` of the namespace with `name` and the address that the question came from."""
        server = within(namespace, lambda: socket.socket(family, kind))
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("", port))
        if kind == socket.SOCK_STREAM:
            server.listen(512)
        thread = threading.Thread(target=_answer, args=(server, name), daemon=True)
        thread.start()
        self.closing.callback(thread.join)
        self.closing.callback(server.close)
        self.closing.callback(server.shutdown if kind == socket.SOCK_STREAM else _wake(server), socket.SHUT_RDWR)

    def ask(
        self,
        namespace: Path,
        host: str,
        port: int,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        timeout: float = 5.0,
    ) -> tuple[str, str]:
        """Who answers at that address and port, and the address it saw; raises the kernel's refusal."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with within(namespace, lambda: socket.socket(family, kind)) as client:
            client.settimeout(timeout)
            client.connect((host, port))
            client.send(b"?")
            name, seen = client.recv(100).decode().split()
            return name, seen


HOME = Path("/proc/self/ns/net")


def _answer(server: socket.socket, name: str) -> None:
    with suppress(OSError):  # the socket is shut when the test ends
        while True:
            if server.type == socket.SOCK_DGRAM:
                question, client = server.recvfrom(1)
                if not question:
                    return
                server.sendto(f"{name} {client[0]}".encode(), client)
            else:
                connection, client = server.accept()
                with connection:
                    connection.send(f"{name} {client[0]}".encode())


def _wake(server: socket.socket) -> Callable[[int], None]:
    """shutdown(2) ends a blocked recvfrom of an unconnected UDP socket, and fails all the same."""

    def shut(how: int) -> None:
        with suppress(OSError):
            server.shutdown(how)

    return shut


@pytest.fixture(scope="session")
def mounts() -> None:
    """A mount namespace for the rest of the test run: no pin can stay behind on the machine."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)


@pytest.fixture
def namespace(mounts: None) -> Iterator[None]:
    """The test's thread, and every thread and process that it starts, is in a new network namespace."""
    with open("/proc/thread-self/ns/net") as home:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            ip("link", "set", "lo", "up")
            yield
        finally:
            syscalls.setns(home.fileno(), syscalls.CLONE_NEWNET)


@pytest.fixture
def world(namespace: None, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as closing:
        yield World(tmp_path, closing)
    for folder in (tmp_path, tmp_path / "netns"):
        for name in pinned(folder):
            syscalls.umount(str(folder / name), syscalls.MNT_DETACH)
