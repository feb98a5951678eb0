"""Networks of all kinds: shared between apps, with addresses that are given, past the host, and from CNI plugins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.host import DIFFERENT, Host
from tests.end_to_end.stations import ask
from tests.end_to_end.world import LAN, NAMED, OUTSIDE, OUTSIDE6, PUBLISHED, UNPUBLISHED, World
from tests.host.network.questions import AAAA

pytestmark = [pytest.mark.root, pytest.mark.host]

OWNER = """
services:
  server:
    image: ${REGISTRY}/sleeper:1
    ports: ["8000:80"]
    networks:
      backbone:
        ipv4_address: 172.28.0.10
        ipv6_address: fd00:28::10
        mac_address: 02:42:ac:1c:00:0a
        aliases: [database]
      default:
        priority: 100
        interface_name: lan0
networks:
  backbone:
    name: backbone
    enable_ipv6: true
    labels: {team: blue}
    driver_opts:
      com.docker.network.bridge.name: br-backbone
      com.docker.network.driver.mtu: "1400"
    ipam:
      config:
        - {subnet: 172.28.0.0/24, gateway: 172.28.0.254, ip_range: 172.28.0.128/25}
        - {subnet: "fd00:28::/64", gateway: "fd00:28::fe"}
"""
GUEST = """
services:
  guest:
    image: ${REGISTRY}/sleeper:1
    networks: [theirs]
    extra_hosts: ["printer:192.0.2.9"]
    hostname: visitor
    domainname: example.test
    dns_search: [corp.test]
    sysctls: {net.core.somaxconn: 333}
networks:
  theirs: {external: true, name: backbone}
"""
PAST = """
services:
  mac:
    image: ${REGISTRY}/sleeper:1
    networks: [mac]
networks:
  mac:
    driver: macvlan
    driver_opts: {parent: "PARENT"}
    ipam: {config: [{subnet: 10.77.0.0/24, gateway: 10.77.0.1, ip_range: 10.77.0.32/28}]}
"""
OTHER = """
services:
  web:
    image: ${REGISTRY}/sleeper:1
    ports: ["8000:80"]
    restart: always
"""
CNI = """
services:
  own:
    image: ${REGISTRY}/sleeper:1
    networks: [own]
networks:
  own: {driver: cni, driver_opts: {config: own.conflist}}
"""
CONFLIST = {
    "cniVersion": "1.0.0",
    "name": "own",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-own",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.55.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}


@pytest.fixture
def world(host: Host) -> Iterator[World]:
    """A machine with an outside."""
    made = World(host)
    yield made
    made.end()


def _link(world: World, who: str, name: str) -> dict[str, Any]:
    (link,) = json.loads(world.stations[who].run("ip", "-json", "-details", "address", "show", "dev", name))
    assert isinstance(link, dict)
    return link


def _run(world: World, specs: dict[str, str], *names: str) -> None:
    for name, text in specs.items():
        world.host.write(name, text)
    world.host.start()
    world.host.until_converged(*names)
    world.populate(*names)


def test_two_apps_share_a_network_with_the_addresses_that_one_of_them_gives(world: World) -> None:
    _run(world, {"owner.yaml": OWNER, "guest.yaml": GUEST}, "owner-server-1", "guest-guest-1")
    backbone, lan = _link(world, "server", "eth1"), _link(world, "server", "lan0")
    assert backbone["address"] == "02:42:ac:1c:00:0a"
    assert backbone["mtu"] == 1400
    assert {"172.28.0.10", "fd00:28::10"} <= {entry["local"] for entry in backbone["addr_info"]}
    assert lan["operstate"] == "UP"
    assert _link(world, "host", "br-backbone")["addr_info"][0]["local"] == "172.28.0.254"
    assert int(world.address("guest", 4).rsplit(".", 1)[1]) >= 128, "of the range"
    for name in ("database", "server", "owner-server-1"):
        assert world.lookup("guest", name).found == ("172.28.0.10",)
        assert world.lookup("guest", name, AAAA).found == ("fd00:28::10",)
    guest = world.stations["guest"]
    assert guest.do(ask, "tcp", "172.28.0.10", UNPUBLISHED, 3.0).result() == "server"
    assert guest.do(ask, "udp", "fd00:28::10", UNPUBLISHED, 3.0).result() == "server"
    assert guest.do(ask, "tcp", OUTSIDE, NAMED, 3.0).result() == "outside"
    assert guest.do(ask, "tcp", OUTSIDE6, NAMED, 3.0).result() == "outside"
    assert world.stations["outside"].do(ask, "tcp", LAN, 8000, 3.0).result() == "server"


def test_what_a_container_is_told_of_itself_and_others(world: World) -> None:
    _run(world, {"owner.yaml": OWNER, "guest.yaml": GUEST}, "owner-server-1", "guest-guest-1")
    root = world.stations["guest"].namespace.parents[1]
    hosts = (root / "root/etc/hosts").read_text()
    assert "192.0.2.9\tprinter" in hosts
    assert "visitor.example.test" in hosts
    assert (root / "root/etc/hostname").read_text() == "visitor\n"
    assert "search corp.test" in (root / "root/etc/resolv.conf").read_text()
    pid = str(world.host.pids()["guest-guest-1"])
    enter = ("nsenter", "--target", pid, "--uts", "--net")
    assert world.host.machine.inside.run(*enter, "cat", "/proc/sys/kernel/domainname") == "example.test\n"
    assert world.host.machine.inside.run(*enter, "cat", "/proc/sys/net/core/somaxconn") == "333\n"


def test_network_of_another_app_is_waited_for_and_kept_as_long_as_somebody_is_in_it(world: World) -> None:
    host = world.host
    host.write("guest.yaml", GUEST)
    host.start()
    host.until(lambda: "backbone" in str(host.ask("/v1/plan")["text"]), "it is waited for")
    assert host.pids() == {}
    host.write("owner.yaml", OWNER)
    host.until_converged("owner-server-1", "guest-guest-1")


def test_macvlan_is_a_neighbour_of_the_host_s_own_neighbours(world: World) -> None:
    parent = next(name for name in _links(world, "host") if name.startswith("to-") and _lan(world, name))
    _run(world, {"past.yaml": PAST.replace("PARENT", parent), "other.yaml": OTHER}, "past-mac-1", "other-web-1")
    outside, own = world.stations["outside"], world.address("mac", 4)
    assert int(own.rsplit(".", 1)[1]) in range(32, 48)
    assert outside.do(ask, "tcp", own, PUBLISHED, 5.0).result() == "mac"
    assert outside.do(ask, "udp", own, UNPUBLISHED, 5.0).result() == "mac"
    assert f"default via {OUTSIDE}" in world.stations["mac"].run("ip", "route")
    assert world.stations["mac"].do(ask, "tcp", OUTSIDE, NAMED, 5.0).result() == "outside"
    assert outside.do(ask, "tcp", LAN, 8000, 3.0).result() == "web", "the neighbours still reach what is published"


def test_network_of_a_cni_configuration_is_made_by_its_plugins(world: World) -> None:
    world.host.write("own.conflist", json.dumps(CONFLIST))
    _run(world, {"app.yaml": CNI}, "app-own-1")
    assert world.address("own", 4).startswith("10.55.0.")
    assert world.stations["host"].do(ask, "tcp", world.address("own", 4), PUBLISHED, 5.0).result() == "own"
    before = world.host.pids()
    world.stations["own"].run("ip", "link", "set", "eth0", "down")
    world.host.until(lambda: _link(world, "own", "eth0")["operstate"] == "UP", "it is up again")
    world.host.until_converged("app-own-1")
    world.echo.serve(world.stations["own"], world.stations["own"].addresses(), (NAMED,))  # its plugins may give another
    assert world.stations["host"].do(ask, "tcp", world.address("own", 4), NAMED, 5.0).result() == "own"
    assert world.host.pids() == before
    world.echo.forget()
    world.host.remove("app.yaml")
    world.host.until_converged()
    world.host.until(lambda: not _members(world, "cni-own"), "its plugins took the link away")


def test_subnets_stay_over_a_reboot_and_an_empty_pool_is_told(host: Host) -> None:
    host.write("one.yaml", OTHER)
    host.write("two.yaml", OTHER.replace("8000", "8001"))
    said = host.reconciler("plan", "--address-pool", "10.9.0.0/24", code=DIFFERENT)
    assert "no /24 is left in the address pool 10.9.0.0/24" in said
    host.start()
    host.until_converged("one-web-1", "two-web-1")
    before = _subnets(host)
    host.reboot()
    host.until_converged("one-web-1", "two-web-1")
    assert _subnets(host) == before


def _subnets(host: Host) -> set[str]:
    listed = json.loads(host.machine.inside.run("ip", "-json", "-4", "address"))
    return {f"{entry['local']}/{entry['prefixlen']}" for link in listed for entry in link["addr_info"]}


def _links(world: World, who: str) -> list[str]:
    return [link["ifname"] for link in json.loads(world.stations[who].run("ip", "-json", "link"))]


def _lan(world: World, name: str) -> bool:
    return LAN in {entry["local"] for entry in _link(world, "host", name)["addr_info"]}


def _members(world: World, bridge: str) -> list[object]:
    listed = json.loads(world.stations["host"].run("ip", "-json", "link", "show", "master", bridge))
    return [link for link in listed if link]
