"""Bridges and veths on the kernel: made, completed, repaired, taken away. `ip` says what is there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.addresses import bridge_name
from reconciler.core.networking import Network
from reconciler.core.wiring import veth_name
from reconciler.errors import HostError
from reconciler.host import runs
from reconciler.host.doorbells import open_doorbell
from reconciler.host.namespaces import is_pinned, pinned
from tests.host.network.conftest import World, ip, within

pytestmark = pytest.mark.root

SHOP = bridge_name("test", "shop")


def shown(*words: str) -> list[dict[str, object]]:
    found = json.loads(ip("-j", "-d", *words))
    assert isinstance(found, list)
    return found


def addresses(link: str) -> list[str]:
    (entry,) = shown("-4", "addr", "show", "dev", link)
    info = entry["addr_info"]
    assert isinstance(info, list)
    return [f"{address['local']}/{address['prefixlen']}" for address in info]


def links() -> set[str]:
    return {str(entry["ifname"]) for entry in shown("link")}


def until(true: Callable[[], bool]) -> None:
    """Wait for what the kernel does in the background: each change of a link rings, and is a reason to look."""
    deadline = time.monotonic() + 10
    with open_doorbell() as bell:
        bell.setblocking(True)
        bell.settimeout(0.05)
        while not true():
            assert time.monotonic() < deadline, "it did not happen within 10 seconds"
            try:
                bell.recv(1)
            except TimeoutError:
                continue


def sysctl(name: str) -> str:
    return Path("/proc/sys/net", name).read_text().strip()


# --- bridges -----------------------------------------------------------------------------------------------------


def test_a_bridge_is_up_marked_and_has_the_gateways_address(world: World) -> None:
    world.network("shop")
    (bridge,) = shown("link", "show", "dev", SHOP)
    assert bridge["ifalias"] == "test:bridge:shop:shop:1500,10.192.3.1/24,:shop.toml"
    assert "UP" in str(bridge["flags"])
    assert bridge["mtu"] == 1500
    assert addresses(SHOP) == ["10.192.3.1/24"]
    assert sysctl("ipv4/ip_forward") == "1"
    assert sysctl(f"ipv4/conf/{SHOP}/route_localnet") == "1"
    assert not shown("-6", "addr", "show", "dev", SHOP), "an IPv6 address would be probed for a second"


def test_creating_again_repairs_what_somebody_changed(world: World) -> None:
    world.network("shop")
    ip("link", "set", SHOP, "down")
    ip("link", "set", SHOP, "alias", "mine")
    ip("addr", "flush", "dev", SHOP)
    ip("addr", "add", "172.16.0.1/16", "dev", SHOP)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    test_a_bridge_is_up_marked_and_has_the_gateways_address(world)


def test_a_bridge_keeps_its_mac_when_containers_come_and_go(world: World) -> None:
    world.network("shop")
    before = shown("link", "show", "dev", SHOP)[0]["address"]
    for number in range(2, 8):
        world.container("shop", number)
    assert shown("link", "show", "dev", SHOP)[0]["address"] == before
    assert str(before).startswith("02:")


def test_packets_are_no_larger_than_the_way_out_takes(world: World) -> None:
    world.plug_outside()
    ip("link", "set", "cable", "mtu", "1400")
    ip("route", "add", "default", "via", "192.0.2.2")
    world.network("shop")
    id = world.container("shop", 2)
    inside = within(world.pin("shop", 2), lambda: shown("link", "show", "dev", "eth0"))
    assert shown("link", "show", "dev", SHOP)[0]["mtu"] == 1400
    assert shown("link", "show", "dev", veth_name(id))[0]["mtu"] == 1400
    assert inside[0]["mtu"] == 1400


def test_a_bridge_is_removed_and_may_be_gone_already(world: World) -> None:
    world.network("shop")
    world.networks.remove("shop", SHOP)
    assert SHOP not in links()
    world.networks.remove("shop", SHOP)


def test_the_kernels_refusal_is_a_sentence(world: World) -> None:
    with pytest.raises(HostError, match=r"^cannot create network shop: Numerical result out of range$"):
        world.networks.create(Network(name="shop", app="shop", spec="shop.toml"), "x" * 20, ("10.0.0.1/24", ""))


def test_a_spec_whose_path_does_not_fit_is_refused(world: World) -> None:
    network = Network(name="shop", app="shop", spec="folder/" * 40)
    with pytest.raises(HostError, match=r"^cannot mark the bridge of network shop: .* give the spec a shorter path$"):
        world.networks.create(network, SHOP, ("10.0.0.1/24", ""))
    assert SHOP not in links(), "nothing is made that could not be found again"


# --- containers --------------------------------------------------------------------------------------------------


def test_a_container_has_loopback_address_and_default_route(world: World) -> None:
    world.network("shop")
    world.container("shop", 2)
    pin = world.pin("shop", 2)
    assert within(pin, lambda: addresses("lo")) == ["127.0.0.1/8"]
    assert within(pin, lambda: addresses("eth0")) == ["10.192.3.2/24"]
    assert within(pin, lambda: shown("link", "show", "dev", "eth0"))[0]["address"] == "02:42:0a:c0:03:02"
    routes = within(pin, lambda: shown("route"))
    assert [(route["dst"], route.get("gateway")) for route in routes] == [
        ("default", "10.192.3.1"),
        ("10.192.3.0/24", None),
    ]


def test_the_hosts_end_says_whose_it_is_and_is_on_the_bridge(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    (link,) = shown("link", "show", "dev", "rc" + id[:9] + "0")
    assert link["ifalias"] == f"test:container:{id}:{SHOP}"
    assert link["master"] == SHOP
    info = link["linkinfo"]
    assert isinstance(info, dict)
    assert info["info_slave_data"]["hairpin"] is True


def test_a_container_without_a_network_has_its_loopback_only(world: World) -> None:
    world.networks.connect("f" * 64, ())
    pin = world.settings.run / "netns" / ("f" * 64)
    assert is_pinned(pin)
    assert within(pin, links) == {"lo"}
    assert within(pin, lambda: addresses("lo")) == ["127.0.0.1/8"]


def test_no_thread_of_ours_stays_in_another_namespace(world: World) -> None:
    def namespaces() -> set[int]:
        return {os.stat(task / "ns/net").st_ino for task in Path("/proc/self/task").iterdir()}

    before = namespaces()
    world.network("shop")
    world.container("shop", 2)
    assert namespaces() <= before


def test_connecting_again_changes_nothing(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    before = shown("link", "show", "dev", veth_name(id))
    world.container("shop", 2)
    after = shown("link", "show", "dev", veth_name(id))
    assert [(link["ifindex"], link["address"]) for link in after] == [
        (link["ifindex"], link["address"]) for link in before
    ]


def test_many_are_connected_beside_each_other(world: World) -> None:
    world.network("shop")
    with ThreadPoolExecutor(max_workers=4) as threads:
        ids = set(threads.map(lambda number: world.container("shop", number), range(2, 34)))
        assert not any(world.fault(id) for id in ids)
        list(threads.map(world.networks.disconnect, ids))
    assert not world.reader.look().insides
    until(lambda: not any(veth_name(id) in links() for id in ids))


def test_connecting_without_the_bridge_says_so(world: World) -> None:
    world.network("shop")
    ip("link", "delete", SHOP)
    with pytest.raises(HostError, match=f"^cannot connect container [0-9a-f]*: its bridge {SHOP} does not exist$"):
        world.container("shop", 2)


# --- disconnect --------------------------------------------------------------------------------------------------


def test_disconnect_takes_everything_away(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    world.networks.disconnect(id)
    assert not world.pin("shop", 2).exists()
    assert world.fault(id) == "its network namespace is gone"
    until(lambda: veth_name(id) not in links())
    world.networks.disconnect(id)


def test_an_address_can_be_given_away_at_once(world: World) -> None:
    world.network("shop")
    world.container("shop", 3)
    for round_ in range(5):
        id = f"{round_}" * 64
        world.join(id, world.endpoint("shop", 2))
        pin = world.settings.run / "netns" / id
        world.serve(pin, 80, f"round{round_}")
        assert world.ask(world.pin("shop", 3), "10.192.3.2", 80)[0] == f"round{round_}"
        world.networks.disconnect(id)


def test_a_link_whose_namespace_is_still_held_goes_too(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    words = ["nsenter", f"--net={world.pin('shop', 2)}", "sh", "-c", "echo inside; cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"inside\n"
        world.networks.disconnect(id)
        assert holder.poll() is None
        until(lambda: veth_name(id) not in links())
        assert holder.poll() is None
        assert holder.stdin
        holder.stdin.close()


def test_a_container_that_is_connected_again_keeps_its_link(world: World) -> None:
    world.network("shop")
    other, id = world.container("shop", 2), world.container("shop", 3)
    held = ["nsenter", f"--net={world.pin('shop', 2)}", "sh", "-c", "echo inside; cat"]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"inside\n"
        world.networks.disconnect(id)
        world.networks.disconnect(other)
        world.container("shop", 3)
        until(lambda: veth_name(other) not in links())
        assert veth_name(id) in links()
        assert holder.stdin
        holder.stdin.close()


def running(world: World, id: str, pid: int) -> None:
    """Record, as the runtime does, that a process is the container's first one."""
    process = runs.identify(pid)
    assert process
    folder = world.settings.run / runs.FOLDER / f"{id}-1"
    folder.mkdir(parents=True)
    runs.write(folder, runs.Run(init=process, monitor=process, since=0.0, restarts=0, failures=0))


def test_a_pin_that_was_taken_away_is_put_back_under_a_running_container(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    pin = world.pin("shop", 2)
    inode = pin.stat().st_ino
    held = ["nsenter", f"--net={pin}", "sh", "-c", "echo inside; cat"]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"inside\n"
        subprocess.run(["umount", pin], check=True)
        pin.unlink()
        assert world.fault(id) == "its network namespace is gone"
        running(world, id, holder.pid)
        world.container("shop", 2)
        assert pin.stat().st_ino == inode
        assert not world.fault(id)
        assert holder.stdin
        holder.stdin.close()


def test_a_pin_that_was_taken_away_with_all_processes_means_a_new_namespace(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    subprocess.run(["umount", world.pin("shop", 2)], check=True)
    world.container("shop", 2)
    assert not world.fault(id)


def test_a_namespace_mounted_twice_is_let_go(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    subprocess.run(["mount", "--bind", world.pin("shop", 2), world.pin("shop", 2)], check=True)
    world.networks.disconnect(id)
    assert not world.pin("shop", 2).exists()


def test_an_empty_file_left_by_an_interrupted_try_is_no_namespace(world: World) -> None:
    world.network("shop")
    pin = world.pin("shop", 2)
    pin.parent.mkdir()
    pin.touch()
    assert not is_pinned(pin)
    assert not world.reader.look().insides
    id = world.container("shop", 2)
    assert world.reader.look().insides.keys() == {id}


def test_a_namespace_that_goes_during_a_look_takes_no_other_out_of_sight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.network("shop")
    stays, goes = world.container("shop", 2), world.container("shop", 3)

    @contextmanager
    def late(folder: Path) -> Iterator[list[os.DirEntry[str]]]:
        """What was listed, when one of it has gone already."""
        monkeypatch.undo()
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name != goes)
        world.networks.disconnect(goes)
        yield listed

    monkeypatch.setattr("reconciler.host.namespaces.os.scandir", late)
    assert pinned(world.pin("shop", 2).parent).keys() == {stays}
