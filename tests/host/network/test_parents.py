"""macvlan and ipvlan between containers, on a parent of the host or a VLAN that is made for them."""

from __future__ import annotations

import struct
import subprocess
import threading
from dataclasses import replace

import pytest

from reconciler.core.networking import Endpoint, Network
from reconciler.errors import HostError
from reconciler.host import parents
from reconciler.host.aliases import parent_alias
from reconciler.host.netlink import Message, attributes, string, text
from reconciler.host.rtnetlink import Inner, Link
from tests.host.network.conftest import World, ip, within
from tests.host.network.test_networks import links, shown, until

pytestmark = pytest.mark.root

MACVLAN = Network(name="lan", app="lan", spec="lan.toml", driver="macvlan", parent="uplink")
IPVLAN = replace(MACVLAN, driver="ipvlan")


@pytest.fixture
def lan(world: World) -> World:
    """A host with an uplink, whose other end is no matter."""
    ip("link", "add", "uplink", "mtu", "1450", "type", "veth", "peer", "name", "far")
    for end in ("uplink", "far"):
        ip("link", "set", end, "up")
    return world


def join(world: World, network: Network, number: int) -> str:
    id = world.id(network.name, number)
    world.join(
        id,
        Endpoint(
            network=network,
            bridge="",
            interface="eth0",
            ipv4=f"192.0.2.{number}/24",
            ipv6=f"2001:db8::{number}/64",
            gateway4="192.0.2.1",
        ),
    )
    return id


def kind(world: World, number: int) -> str:
    (link,) = within(world.pin("lan", number), lambda: shown("link", "show", "dev", "eth0"))
    info = link["linkinfo"]
    assert isinstance(info, dict)
    return f"{info['info_kind']} {info['info_data']['mode']} {link['mtu']}"


def has(kind: str) -> bool:
    """Whether this kernel can make such links; `ip` is asked for one that is refused for its parent only."""
    words = ["ip", "link", "add", "link", "lo", "name", "probe", "type", kind, *(("id", "2") if kind == "vlan" else ())]
    return "Unknown device type" not in subprocess.run(words, check=False, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    ("network", "kinds", "shown"),
    [
        (MACVLAN, ["macvlan"], "macvlan bridge 1450"),
        (replace(MACVLAN, mode="bridge"), ["macvlan"], "macvlan bridge 1450"),
        (IPVLAN, ["ipvlan"], "ipvlan l2 1450"),
        (replace(IPVLAN, mode="l3"), ["ipvlan"], "ipvlan l3 1450"),
        (replace(MACVLAN, parent="uplink.50"), ["vlan", "macvlan"], "macvlan bridge 1450"),
        (replace(IPVLAN, parent="uplink.50"), ["vlan", "ipvlan"], "ipvlan l2 1450"),
    ],
)
def test_containers_on_one_parent_reach_each_other(lan: World, network: Network, kinds: list[str], shown: str) -> None:
    if not all(map(has, kinds)):
        missing = next(kind for kind in kinds if not has(kind))
        said = {"vlan": "VLANs"}.get(missing, missing)
        with pytest.raises(HostError, match=f"^cannot join network lan: this kernel has no {said}"):
            join(lan, network, 2)
        return
    ids = [join(lan, network, number) for number in (2, 3)]
    assert [lan.fault(id) for id in ids] == ["", ""]
    assert kind(lan, 2) == shown
    lan.serve(lan.pin("lan", 2), 80, "two")
    assert lan.ask(lan.pin("lan", 3), "192.0.2.2", 80) == ("two", "192.0.2.3")
    assert lan.reader.look().networks == {}, "the host has no bridge for it"


class Kernel:
    """Answers as a kernel with VLANs does."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.changes: list[Message] = []

    def ask_each(self, *messages: Message) -> list[bytes | None]:
        names = [string(attributes(message.body, 16)[3]) for message in messages]
        return [link(name) if name in self.there else None for name in names]

    def ask(self, message: Message) -> bytes:
        (answer,) = self.ask_each(message)
        assert answer is not None
        return answer

    def change(self, *messages: Message) -> None:
        self.changes += messages
        self.there.add(string(attributes(messages[0].body, 16)[3]))


def link(name: str) -> bytes:
    return struct.pack("=BxHiII", 0, 0, 7, 1, 0) + text(3, name)


def info(message: Message) -> bytes:
    return attributes(message.body, 16)[18]


def test_a_vlan_is_made_once_and_marked() -> None:
    kernel = Kernel("uplink")
    for _ in range(2):
        parents.get(kernel, "test", replace(MACVLAN, parent="uplink.50"))  # type: ignore[arg-type]
    made, marked, *_ = kernel.changes
    assert len(kernel.changes) == 4
    assert attributes(made.body, 16)[5] == (7).to_bytes(4, "little")
    assert attributes(marked.body, 16)[20] == b"test:parent"
    assert info(made).endswith(bytes.fromhex("0c000200 06000100 32000000")), "as `ip link add type vlan id 50` says it"


def test_an_ipvlan_as_the_kernel_wants_it() -> None:
    message = parents.add(Link(index=7, name="uplink", mtu=1450), replace(IPVLAN, mode="l3"), Inner("eth0", b"", 5))
    assert info(message).startswith(bytes.fromhex("0b000100 6970766c 616e0000"))
    assert bytes.fromhex("06000100 01000000") in info(message), "as `ip link add type ipvlan mode l3` says it"
    assert 1 not in attributes(message.body, 16), "its MAC is that of its parent"


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        ("gone", "its parent gone does not exist"),
        ("gone.50", "its parent gone does not exist"),
        ("uplink.5000", "its parent uplink.5000 does not exist"),
        ("", "no parent is declared"),
    ],
)
def test_a_parent_that_is_not_there_is_named(lan: World, parent: str, words: str) -> None:
    with pytest.raises(HostError, match=f"^cannot join network lan: {words}.*; set driver_opts.parent"):
        join(lan, replace(MACVLAN, parent=parent), 2)


def test_a_mode_that_there_is_none_of_is_named(lan: World) -> None:
    with pytest.raises(HostError, match=r"^cannot join network lan: ipvlan has no mode l4, only l2, l3, l3s$"):
        join(lan, replace(IPVLAN, mode="l4"), 2)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("link delete eth0", "eth0 is gone"),
        ("link set eth0 down", "eth0 is down"),
        ("addr del 192.0.2.2/24 dev eth0", "its address 192.0.2.2/24 is gone"),
        ("route del default", "its default route by 192.0.2.1 is gone"),
    ],
)
def test_damage_rings_is_named_and_repaired(lan: World, damage: str, said: str) -> None:
    id = join(lan, MACVLAN, 2)
    join(lan, MACVLAN, 3)
    assert lan.fault(id) == ""
    within(lan.pin("lan", 2), lambda: ip(*damage.split()))
    assert lan.fault(id, full=False) == said
    join(lan, MACVLAN, 2)
    assert lan.fault(id, full=False) == ""
    lan.serve(lan.pin("lan", 2), 80, "two")
    assert lan.ask(lan.pin("lan", 3), "192.0.2.2", 80)[0] == "two"


def test_a_parent_that_goes_and_comes_back(lan: World) -> None:
    id = join(lan, MACVLAN, 2)
    lan.fault(id)
    ip("link", "delete", "uplink")
    assert lan.fault(id, full=False) == "eth0 is gone"
    with pytest.raises(HostError, match="its parent uplink does not exist"):
        join(lan, MACVLAN, 2)
    ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
    ip("link", "set", "uplink", "up")
    join(lan, MACVLAN, 2)
    assert lan.fault(id, full=False) == ""


def test_a_parent_that_was_made_goes_with_the_last_that_stood_on_it(lan: World) -> None:
    for name, alias in (("uplink.7", parent_alias("test")), ("uplink.8", parent_alias("other"))):
        ip("link", "add", name, "type", "bridge")
        ip("link", "set", name, "alias", alias)
    on_made, on_others = replace(MACVLAN, parent="uplink.7"), replace(MACVLAN, parent="uplink.8")
    ids = [join(lan, on_made, 2), join(lan, on_made, 3), join(lan, on_others, 4)]
    lan.networks.disconnect(ids[0])
    lan.networks.sweep()
    until(lambda: not any(thread.name == "departures" for thread in threading.enumerate()))
    assert "uplink.7" in links(), "another stands on it"
    for id in ids[1:]:
        lan.networks.disconnect(id)
    until(lambda: "uplink.7" not in links())
    assert "uplink.8" in links(), "somebody else's"


def test_a_container_on_a_bridge_and_a_parent(lan: World) -> None:
    lan.network("shop")
    id = lan.id("shop", 2)
    second = Endpoint(network=MACVLAN, bridge="", interface="eth1", ipv4="192.0.2.2/24")
    lan.join(id, lan.endpoint("shop", 2), second)
    assert lan.fault(id) == ""
    lan.networks.disconnect(id)
    assert "uplink" in links()
