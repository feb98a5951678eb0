"""A host with both IP versions for tests of rules: bridges, containers and an outside made by `ip`, nothing of ours.

What of ours is tried here are the ruleset and the routing rules alone, so a fault elsewhere fails no test of these.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.ruleset import Bridge, Published, Rules, render
from reconciler.host import syscalls
from reconciler.host.firewall import Nftables
from reconciler.settings import Settings
from tests.host.network.conftest import HOME, ip, within

HOST, HOST6 = "192.0.2.1", "2001:db8::1"
OUTSIDE, OUTSIDE6 = "192.0.2.2", "2001:db8::2"
GATEWAY = "fe80::1/64"  # under which a bridge asks who has an address, for packets that are not its own
Question = tuple[str, str, int, socket.SocketKind]  # who asks, whom, at which port, how
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
DROPPED = 1.0  # seconds until a question counts as dropped; answers take under 0.01


class Ground:
    """One host and one machine outside; `rules` are those in force."""

    def __init__(self, run: Path, closing: ExitStack) -> None:
        self.settings = Settings(instance="test", run=run, state=run)
        self.firewall = Nftables(self.settings)
        closing.callback(self.firewall.close)
        self.rules = Rules()
        self.places: dict[str, Path] = {"host": HOME}
        self._closing = closing
        unprobed()
        bridged_packets_pass_the_ruleset("0")
        sysctl("net/ipv4/ip_forward", "1")
        sysctl("net/ipv6/conf/all/forwarding", "1")
        self._cable("outside", "cable", "")
        for address, prefix in ((HOST, 24), (HOST6, 64)):
            ip("addr", "add", f"{address}/{prefix}", "dev", "cable", *nodad(address))
        for address, prefix, way in ((OUTSIDE, 24, HOST), (OUTSIDE6, 64, HOST6)):
            self.address("outside", f"{address}/{prefix}", way)

    # --- what is there ---

    def network(self, name: str, *containers: str, internal: bool = False) -> None:
        """A network with its containers, which have the addresses .2, .3, … and ::2, ::3, …"""
        number = len(self.rules.networks) + 3
        bridge = Bridge(
            bridge=f"rc-{name}", subnet=f"10.192.{number}.1/24", subnet6=f"fd00:{number}::1/64", internal=internal
        )
        ip("link", "add", bridge.bridge, "type", "bridge", "forward_delay", "0")
        sysctl(f"net/ipv4/conf/{bridge.bridge}/route_localnet", "1")
        ip("link", "set", bridge.bridge, "addrgenmode", "none")  # as ours are
        for subnet in (*bridge.subnets, GATEWAY):
            ip("addr", "add", subnet, "dev", bridge.bridge, *nodad(subnet))
        ip("link", "set", bridge.bridge, "up")
        for place, container in enumerate(containers, 2):
            self._cable(container, f"rc{container}", bridge.bridge)
            for subnet in bridge.subnets:
                gateway, _, prefix = subnet.partition("/")
                self.address(container, f"{gateway[:-1]}{place}/{prefix}", gateway)
        self.rules = replace(self.rules, networks=(*self.rules.networks, bridge))

    def _cable(self, name: str, link: str, bridge: str) -> None:
        with ThreadPoolExecutor(max_workers=1) as threads:
            descriptor = threads.submit(_new_namespace).result()
        self._closing.callback(os.close, descriptor)
        place = self.places[name] = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(place))
        if bridge:
            ip("link", "set", link, "addrgenmode", "none")
            ip("link", "set", link, "master", bridge)
            ip("link", "set", link, "type", "bridge_slave", "hairpin", "on")
        ip("link", "set", link, "up")
        within(place, lambda: ip("link", "set", "lo", "up"))
        within(place, lambda: ip("link", "set", "eth0", "addrgenmode", "none"))
        within(place, lambda: ip("link", "set", "eth0", "up"))

    def address(self, name: str, address: str, gateway: str = "") -> None:
        within(self.places[name], lambda: ip("addr", "add", address, "dev", "eth0", *nodad(address)))
        if gateway:
            version = "-6" if ":" in gateway else "-4"
            within(self.places[name], lambda: ip(version, "route", "replace", "default", "via", gateway, "dev", "eth0"))

    def publish(self, *published: Published) -> None:
        self.apply(replace(self.rules, published=published))

    def apply(self, rules: Rules) -> None:
        self.rules = rules
        self.firewall.apply(render("test", rules))

    # --- who serves and who asks ---

    def serve(self, name: str, port: int, kind: socket.SocketKind = STREAM) -> None:
        """Answer everybody at `port` with `name` and the address that the question came from."""
        server = within(self.places[name], lambda: socket.socket(socket.AF_INET6, kind))
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", port))
        if kind == STREAM:
            server.listen(512)
        thread = threading.Thread(target=_answer, args=(server, name), daemon=True)
        thread.start()
        self._closing.callback(thread.join)
        self._closing.callback(server.close)
        self._closing.callback(_shut, server)

    def ask(self, name: str, host: str, port: int, kind: socket.SocketKind = STREAM) -> tuple[str, str]:
        """Who answers, and the address that they saw; "dropped", "refused" or "unreachable" when nobody does."""
        with self.client(name, host, kind) as client:
            try:
                client.connect((host, port))
                return told(client)
            except (TimeoutError, PermissionError):  # what is dropped on its way out, a datagram's sender is told
                return "dropped", ""
            except ConnectionRefusedError:
                return "refused", ""
            except OSError:
                return "unreachable", ""

    def answers(self, questions: Iterable[Question]) -> dict[Question, tuple[str, str]]:
        """What `ask` finds for each; all are asked beside each other, as most of the time is waited."""
        asked = list(questions)
        with ThreadPoolExecutor(max_workers=12) as threads:
            return dict(zip(asked, threads.map(lambda question: self.ask(*question), asked), strict=True))

    def client(self, name: str, host: str, kind: socket.SocketKind = STREAM) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = within(self.places[name], lambda: socket.socket(family, kind))
        client.settimeout(DROPPED)
        return client

    def who(self, name: str, host: str, port: int, kind: socket.SocketKind = STREAM) -> str:
        return self.ask(name, host, port, kind)[0]


def told(client: socket.socket) -> tuple[str, str]:
    """Ask once more on a socket that is connected."""
    client.send(b"?")
    name, seen = client.recv(100).decode().split()
    return name, seen.removeprefix("::ffff:")


def sysctl(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


def unprobed() -> None:
    """Links that are made from now on use their link-local addresses at once, not after a second of probing."""
    sysctl("net/ipv6/conf/default/accept_dad", "0")


def bridged_packets_pass_the_ruleset(value: str) -> None:
    """The switches of br_netfilter, a module that other programs load; without it, it is as if they were 0."""
    for switch in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        if Path("/proc/sys/net/bridge", switch).exists():
            sysctl(f"net/bridge/{switch}", value)


def nodad(address: str) -> list[str]:
    """IPv6 addresses are probed for a second unless one says so."""
    return ["nodad"] if ":" in address else []


def _new_namespace() -> int:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _answer(server: socket.socket, name: str) -> None:
    with suppress(OSError):  # the socket is shut when the test ends
        while True:
            if server.type == DATAGRAM:
                question, client = server.recvfrom(1)
                if not question:
                    return
                server.sendto(f"{name} {client[0]}".encode(), client)
            else:
                connection, client = server.accept()
                threading.Thread(target=_converse, args=(connection, f"{name} {client[0]}"), daemon=True).start()


def _converse(connection: socket.socket, answer: str) -> None:
    with connection, suppress(OSError):
        while connection.recv(1):
            connection.send(answer.encode())


def _shut(server: socket.socket) -> None:
    """shutdown(2) ends a blocked recvfrom of an unconnected UDP socket, and fails all the same."""
    with suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def ground(namespace: None, tmp_path: Path) -> Iterator[Ground]:
    with ExitStack() as closing:
        yield Ground(tmp_path, closing)
