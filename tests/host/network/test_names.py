"""Names with real dnsmasq: who answers what to whom, what never leaves the host, which harm is seen and repaired."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import dns
from reconciler.core.dns import Asker, View
from reconciler.core.networking import Network, Pairs, Resolver, SeenNetwork
from reconciler.core.ruleset import Bridge, Rules, render
from reconciler.errors import HostError
from reconciler.host import resolvers, runs, syscalls
from reconciler.host.cgroups import detect
from reconciler.host.lookup import Lookup
from reconciler.host.names import DnsmasqNames
from reconciler.host.observe.names import NameReader, SeenNames
from reconciler.host.resolvers import Places, Served
from reconciler.settings import Settings
from tests.host.network.conftest import ip, nft, within
from tests.host.network.questions import (
    AAAA,
    MX,
    NOERROR,
    NXDOMAIN,
    TXT,
    A,
    Answer,
    ask,
    parse,
    question,
    reverse,
)

pytestmark = [pytest.mark.root, pytest.mark.host]

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
                self.asked.append(_asked(message))
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


def _asked(message: bytes) -> str:
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


# --- what is answered --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("server", ["10.9.0.1", "fd00:9::1"])
def test_containers_services_and_aliases_have_addresses_of_both_families(here: Here, server: str, tcp: bool) -> None:
    here.serve()
    assert ask(server, "shop-web-1", tcp=tcp) == Answer(NOERROR, ("10.9.0.2",), (0,))
    assert ask(server, "shop-web-1", AAAA, tcp=tcp) == Answer(NOERROR, ("fd00:9::2",), (0,))
    for name in ("web", "www", "web.front", "WEB"):
        assert {*ask(server, name, tcp=tcp).found} == {"10.9.0.2", "10.9.0.3"}
    assert ask(server, "shop-web-2", AAAA, tcp=tcp) == Answer(NOERROR)


def test_an_address_leads_back_to_the_container(here: Here) -> None:
    here.serve()
    assert reverse("10.9.0.1", "10.9.0.3").found == ("shop-web-2",)
    assert reverse("10.9.0.1", "fd00:9::2").found == ("shop-web-1",)
    assert reverse("10.9.0.1", "10.9.0.77") == Answer(NXDOMAIN)


def test_replicas_take_turns(here: Here) -> None:
    here.serve()
    assert {ask("10.9.0.1", "web").found[0] for _ in range(8)} == {"10.9.0.2", "10.9.0.3"}


def test_a_container_asks_through_its_bridge(here: Here, container: Path) -> None:
    here.serve()
    assert within(container, lambda: ask("10.9.0.1", "shop-web-2")).found == ("10.9.0.3",)
    assert within(container, lambda: ask("10.9.0.1", "shop-web-2", tcp=True)).found == ("10.9.0.3",)
    assert within(container, lambda: ask("fd00:9::1", "shop-web-2")).found == ("10.9.0.3",)


def test_nobody_asks_the_resolver_of_a_network_that_he_is_not_in(here: Here, container: Path) -> None:
    """It would tell names of others, and lead out of an internal network."""
    found = here.serve()
    ip("addr", "add", "fd00:8::1/64", "dev", "back", "nodad")
    here.names.serve(replace(found["back"], addresses=("10.8.0.1", "fd00:8::1")))
    within(container, lambda: ip("route", "add", "default", "via", "10.9.0.1"))
    within(container, lambda: ip("-6", "route", "add", "default", "via", "fd00:9::1"))
    for server in ("10.8.0.1", "fd00:8::1"):
        assert within(container, lambda server=server: ask(server, "db")).found == ("10.8.0.2",)  # type: ignore[misc]
    nft("-f", "-", input=render("names", RULES))
    for server in ("10.8.0.1", "fd00:8::1"):
        for tcp in (False, True):
            with pytest.raises(TimeoutError):
                within(container, lambda server=server, tcp=tcp: ask(server, "db", tcp=tcp, timeout=0.1))  # type: ignore[misc]
    assert within(container, lambda: ask("10.9.0.1", "shop-web-2")).found == ("10.9.0.3",)
    assert within(container, lambda: ask("fd00:9::1", "shop-web-2", tcp=True)).found == ("10.9.0.3",)


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


# --- changes -----------------------------------------------------------------------------------------------------


def test_what_is_added_changed_and_removed_is_answered_so(here: Here) -> None:
    here.serve()
    new = ("d" * 64, "10.9.0.4\tshop-job-1 job\n")
    here.names.write("front", (WEB, WEB_2, new))
    until(lambda: ask("10.9.0.1", "job").found == ("10.9.0.4",))
    here.names.write("front", (WEB, WEB_2, (new[0], "10.9.0.5\tshop-job-1 task\n")))
    until(lambda: ask("10.9.0.1", "task").found == ("10.9.0.5",))
    assert ask("10.9.0.1", "job") == Answer(NXDOMAIN)
    here.names.write("front", (WEB,))
    until(lambda: ask("10.9.0.1", "task") == Answer(NXDOMAIN))
    until(lambda: ask("10.9.0.1", "web").found == ("10.9.0.2",))
    assert reverse("10.9.0.1", "10.9.0.5") == Answer(NXDOMAIN)
    assert reverse("10.9.0.1", "10.9.0.3") == Answer(NXDOMAIN)


def test_only_files_that_differ_are_written(here: Here) -> None:
    here.names.write("front", (WEB, WEB_2))
    folder = here.places.records / "front"
    before = (folder / WEB[0]).stat()
    here.names.write("front", (WEB, (WEB_2[0], "10.9.0.9\tother\n")))
    assert (folder / WEB[0]).stat() == before
    assert sorted(os.listdir(folder)) == [WEB[0], WEB_2[0]]
    assert here.reader.look().names == {"front": (WEB, (WEB_2[0], "10.9.0.9\tother\n"))}


def test_whatever_else_lies_among_the_records_goes(here: Here) -> None:
    here.names.write("front", (WEB,))
    folder = here.places.records / "front"
    (folder / WEB[0]).unlink()
    (folder / WEB[0]).mkdir()
    (folder / "strange").write_text("10.9.0.66\tweb\n")
    (folder / "folder").mkdir()
    (folder / "folder" / "file").write_text("")
    (folder / "link").symlink_to("/etc/hosts")
    here.names.write("front", (WEB,))
    assert os.listdir(folder) == [WEB[0]]
    assert Path("/etc/hosts").exists()
    assert (folder / WEB[0]).read_text() == WEB[1]


# --- what leaves the host ----------------------------------------------------------------------------------------


def test_outside_names_are_asked_of_the_host_s_servers_and_local_ones_are_not(
    here: Here, etc: Path, upstream: Upstream
) -> None:
    (etc / "resolv.conf").write_text(f"nameserver {UPSTREAM}\n")
    here.serve()
    assert ask("10.9.0.1", "www.example.org").found == (OUTSIDE,)
    assert upstream.asked == ["www.example.org"]
    for kind in (A, AAAA, MX, TXT):
        for name in ("nobody", "nobody.front", "a.b.front", "web", "web.front", "back"):
            assert ask("10.9.0.1", name, kind).status in (NOERROR, NXDOMAIN)
    for address in ("10.9.0.77", "10.9.0.2", "fd00:9::77"):
        reverse("10.9.0.1", address)
    assert upstream.asked == ["www.example.org"]


def test_an_internal_network_asks_nobody(here: Here, etc: Path, upstream: Upstream) -> None:
    (etc / "resolv.conf").write_text(f"nameserver {UPSTREAM}\n")
    here.serve()
    for kind in (A, AAAA, MX, TXT):
        for tcp in (False, True):
            assert ask("10.8.0.1", "www.example.org", kind, tcp=tcp) == Answer(NXDOMAIN)
    assert reverse("10.8.0.1", "198.51.100.7") == Answer(NXDOMAIN)
    assert ask("10.8.0.1", "db").found == ("10.8.0.2",)
    assert upstream.asked == []


def test_the_host_s_servers_are_followed_when_they_change(here: Here, etc: Path, upstream: Upstream) -> None:
    (etc / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    here.serve()
    part = etc / "resolv.conf.part"
    part.write_text(f"nameserver {UPSTREAM}\n")
    part.rename(etc / "resolv.conf")
    until(lambda: ask("10.9.0.1", "www.example.org", timeout=10).found == (OUTSIDE,))


def test_servers_of_a_service_are_asked_instead_of_the_host_s(here: Here, etc: Path, upstream: Upstream) -> None:
    (etc / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    own = View(("front",), (UPSTREAM,))
    (address,) = dns.nameservers(own, here.serve(own))
    assert ask(address, "www.example.org").found == (OUTSIDE,)
    assert ask(address, "shop-web-1").found == ("10.9.0.2",)


# --- views -------------------------------------------------------------------------------------------------------


def test_who_is_in_two_networks_sees_both_and_nobody_else_does(here: Here) -> None:
    both = View(("back", "front"))
    (address,) = dns.nameservers(both, here.serve(both))
    assert ask(address, "db").found == ("10.8.0.2",)
    assert ask(address, "shop-web-1").found == ("10.9.0.2",)
    assert reverse(address, "10.8.0.2").found == ("shop-db-1",)
    assert ask("10.9.0.1", "db") == Answer(NXDOMAIN)
    assert ask("10.8.0.1", "web") == Answer(NXDOMAIN)
    assert reverse("10.9.0.1", "10.8.0.2").found == ()


def test_a_view_hears_of_changes_in_all_its_networks(here: Here) -> None:
    both = View(("back", "front"))
    (address,) = dns.nameservers(both, here.serve(both))
    here.names.write("back", ())
    until(lambda: ask(address, "db") == Answer(NXDOMAIN))
    here.names.write("front", (WEB_2,))
    until(lambda: ask(address, "web").found == ("10.9.0.3",))


# --- the process -------------------------------------------------------------------------------------------------


def test_it_may_do_nothing_and_belongs_to_no_session_of_ours(here: Here) -> None:
    here.serve()
    pid = here.served().process.pid
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert os.getsid(pid) != os.getsid(0)
    assert f"/{here.settings.instance}/monitors" in Path(f"/proc/{pid}/cgroup").read_text()


def test_it_outlives_the_daemon_and_the_next_one_knows_it(here: Here) -> None:
    found = here.serve()
    before = here.served()
    here.reader.close()
    here.wake()
    seen = here.reader.look()
    assert seen.resolvers == {name: dns.fingerprint(one) for name, one in found.items()}
    assert seen.names == {"front": (WEB, WEB_2), "back": (DB,)}
    assert here.served() == before


def test_what_is_served_otherwise_now_is_replaced(here: Here) -> None:
    found = here.serve()
    before = here.served()
    changed = replace(found["front"], servers=("192.0.2.1",))
    here.names.serve(changed)
    assert not runs.lives(before.process)
    assert here.reader.look().resolvers["front"] == dns.fingerprint(changed) != before.fingerprint
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_one_that_is_not_needed_ends_with_the_records_of_its_network(here: Here) -> None:
    here.serve()
    here.reader.look()
    for _ in range(2):
        here.names.stop("front")
    seen = here.reader.look(everything=False)
    assert set(seen.resolvers) == set(seen.names) == {"back"}
    with pytest.raises(OSError, match="refused"):
        ask("10.9.0.1", "web")


def test_it_answers_again_when_its_bridge_was_made_again(here: Here) -> None:
    here.serve()
    before = here.served()
    ip("link", "delete", "front")
    make_bridge("front", "10.9.0.1/24", "fd00:9::1/64")
    for server in ("10.9.0.1", "fd00:9::1"):
        for tcp in (False, True):
            assert ask(server, "shop-web-1", tcp=tcp).found == ("10.9.0.2",)
    assert here.served() == before


# --- harm --------------------------------------------------------------------------------------------------------


def test_one_that_was_killed_is_missed_at_once_and_served_again(here: Here) -> None:
    found = here.serve()
    assert set(here.reader.look().resolvers) == {"front", "back"}
    os.kill(here.served().process.pid, signal.SIGKILL)
    assert set(here.until(lambda seen: "front" not in seen.resolvers).resolvers) == {"back"}
    here.names.serve(found["front"])
    assert set(here.reader.look(everything=False).resolvers) == {"front", "back"}
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_one_that_hangs_is_missed_after_a_full_look_and_replaced(here: Here) -> None:
    found = here.serve()
    hung = here.served()
    os.kill(hung.process.pid, signal.SIGSTOP)
    assert set(here.reader.look().resolvers) == {"front", "back"}
    assert set(here.until(lambda seen: "front" not in seen.resolvers).resolvers) == {"back"}
    here.names.serve(found["front"])
    assert not runs.lives(hung.process)
    assert set(here.reader.look(everything=False).resolvers) == {"front", "back"}
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_one_that_answers_again_counts_again(here: Here) -> None:
    here.serve()
    pid = here.served().process.pid
    os.kill(pid, signal.SIGSTOP)
    here.reader.look()
    here.until(lambda seen: "front" not in seen.resolvers)
    os.kill(pid, signal.SIGCONT)
    here.reader.look()
    here.until(lambda seen: "front" in seen.resolvers)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / WEB[0]).write_text("10.9.0.66\tweb\n"),
        lambda folder: (folder / WEB[0]).unlink(),
        lambda folder: (folder / WEB[0]).rename(folder.parent / "elsewhere"),
        lambda folder: (folder / "more").write_text("10.9.0.66\tweb\n"),
        shutil.rmtree,
        lambda folder: folder.rename(folder.with_name("other")),
    ],
)
def test_records_that_somebody_changed_are_seen_at_once_and_put_right(
    here: Here, harm: Callable[[Path], object]
) -> None:
    found = here.serve()
    assert here.reader.look().names["front"] == (WEB, WEB_2)
    harm(here.places.records / "front")
    here.until(lambda seen: seen.names.get("front") != (WEB, WEB_2))
    here.names.write("front", (WEB, WEB_2))
    seen = here.until(lambda seen: seen.names.get("front") == (WEB, WEB_2))
    if "front" not in seen.resolvers or "front" not in here.reader.look(everything=False).resolvers:
        here.names.serve(found["front"])  # it watched a folder that is gone
    until(lambda: {*ask("10.9.0.1", "web").found} == {"10.9.0.2", "10.9.0.3"})
    here.names.write("front", (WEB_2,))
    until(lambda: ask("10.9.0.1", "web").found == ("10.9.0.3",))


def test_a_pid_file_that_is_gone_hides_nothing_from_serving_again(here: Here) -> None:
    found = here.serve()
    lost = here.served()
    for path in here.places.folder.glob("front@*.pid"):
        path.unlink()
    here.names.serve(found["front"])
    assert not runs.lives(lost.process)
    assert here.reader.look().resolvers["front"] == dns.fingerprint(found["front"])


def test_nobody_else_is_ended_whatever_a_pid_file_says(here: Here) -> None:
    found = here.resolvers()
    here.names.write("front", ())
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            for text in (str(other.pid), "0", "-1", "x", ""):
                here.places.pid_file("front", dns.fingerprint(found["front"])).write_text(text)
                assert here.reader.look().resolvers == {}
                here.names.stop("front")
            assert other.poll() is None
        finally:
            other.kill()


# --- what cannot be ----------------------------------------------------------------------------------------------


def test_somebody_else_s_resolver_on_every_address_is_named(here: Here, folder: Path) -> None:
    pid = folder / "pid"
    subprocess.run(
        ["dnsmasq", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=nobody", f"--pid-file={pid}"],
        check=True,
    )
    try:
        with pytest.raises(HostError) as error:
            here.names.serve(here.resolvers()["front"])
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    text = str(error.value)
    assert text.startswith("cannot serve names on front: port 53 of 10.9.0.1, fd00:9::1 is taken by dnsmasq (process ")
    assert re.search(r"listens on (0\.0\.0\.0|::); have it listen on its own addresses only", text)


def test_an_address_that_is_not_there_is_said(here: Here) -> None:
    with pytest.raises(HostError, match=r"cannot serve names on front: .*10\.7\.0\.1: Cannot assign requested address"):
        here.names.serve(replace(here.resolvers()["front"], addresses=("10.7.0.1",)))


def test_a_missing_program_is_said(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.host.names.PROGRAM", "dnsmasq-that-is-not-there")
    with pytest.raises(HostError, match=r"cannot serve names on front: cannot run dnsmasq-that-is-not-there .*no such"):
        here.names.serve(here.resolvers()["front"])


def test_a_folder_that_it_cannot_enter_is_said(here: Here, folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(HostError, match=rf"dnsmasq runs as .* and cannot enter {folder}; chmod o[+]x {folder}"):
        here.names.serve(here.resolvers()["front"])


def test_a_daemon_s_umask_hides_nothing_from_it(here: Here) -> None:
    umask = os.umask(0o077)
    try:
        here.serve()
    finally:
        os.umask(umask)
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_names_that_cannot_be_written_are_said(here: Here) -> None:
    records: Pairs = (("no/such/folder", ""),)
    with pytest.raises(HostError, match=r"cannot write the names of network front: .*No such file or directory"):
        here.names.write("front", records)


def test_a_question_is_what_it_is_taken_for() -> None:
    """The client of these tests itself."""
    assert _asked(question("a.b", A)) == "a.b"
    assert parse(question("a.b", A)) == Answer(NOERROR)
