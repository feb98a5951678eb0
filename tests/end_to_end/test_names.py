"""Names as containers are answered at the server in their own resolv.conf; resolvers that are killed, and that go."""

from __future__ import annotations

import signal

import pytest

from reconciler.core.etc import parse_resolv_conf
from tests.end_to_end.host import Host
from tests.host.network.conftest import within
from tests.host.network.questions import ask

pytestmark = [pytest.mark.root, pytest.mark.host]

SHOP = """
services:
  web:
    image: ${REGISTRY}/web:1
    restart: always
    stop_grace_period: 1s
    deploy: {replicas: 2}
    networks: {front: {aliases: [www]}}
  desk:
    image: ${REGISTRY}/sleeper:1
    restart: always
    stop_grace_period: 1s
    networks: [front, back]
    extra_hosts: ["machine:host-gateway"]
  vault:
    image: ${REGISTRY}/web:2
    restart: always
    stop_grace_period: 1s
    networks: [back]
networks:
  front: {}
  back: {internal: true}
"""
RUNS = ("shop-web-1", "shop-web-2", "shop-desk-1", "shop-vault-1")


@pytest.fixture
def shop(host: Host) -> Host:
    host.write("shop.yaml", SHOP)
    host.start()
    host.until_converged(*RUNS)
    return host


def etc(host: Host, name: str, file: str) -> str:
    return (host.process(name) / "root/etc" / file).read_text()


def addresses(host: Host, asking: str, name: str) -> set[str]:
    """What a container is answered by the server that its resolv.conf names."""
    (server,) = parse_resolv_conf(etc(host, asking, "resolv.conf")).nameservers
    return {*within(host.process(asking) / "ns/net", lambda: ask(server, name)).found}


def of(host: Host, *names: str) -> set[str]:
    return {host.containers()[name]["address"] for name in names}


def resolvers(host: Host) -> dict[int, str]:
    return {pid: line for pid, line in host.machine.processes().items() if line.startswith("dnsmasq")}


def test_services_containers_and_aliases_are_found(shop: Host) -> None:
    both, first = of(shop, "shop-web-1", "shop-web-2"), of(shop, "shop-web-1")
    for name, wanted in {"web": both, "www": both, "web.shop_front": both, "shop-web-1": first}.items():
        assert addresses(shop, "shop-web-2", name) == addresses(shop, "shop-desk-1", name) == wanted
    assert addresses(shop, "shop-desk-1", "vault") == of(shop, "shop-vault-1")


def test_who_is_in_one_network_does_not_see_the_others(shop: Host) -> None:
    for asking, name in (("shop-web-1", "vault"), ("shop-vault-1", "web"), ("shop-vault-1", "shop-web-1")):
        assert addresses(shop, asking, name) == set()


def test_a_replica_that_goes_takes_its_name_along(shop: Host) -> None:
    left = of(shop, "shop-web-1")
    shop.write("shop.yaml", SHOP.replace("replicas: 2", "replicas: 1"))
    shop.until(lambda: addresses(shop, "shop-desk-1", "web") == left, "one replica is left")
    shop.until(lambda: addresses(shop, "shop-desk-1", "shop-web-2") == set(), "the name is gone")


def test_killed_resolvers_come_back(shop: Host) -> None:
    before = resolvers(shop)
    assert len(before) == 3  # front, back, and who sees both
    shop.machine.inside.run("kill", "-KILL", *map(str, before))
    shop.until(lambda: len(resolvers(shop)) == 3 and not resolvers(shop).keys() & before.keys(), "new ones answer")
    shop.until(lambda: len(addresses(shop, "shop-desk-1", "web")) == 2, "names are answered")
    shop.until_converged(*RUNS)


def test_names_outlive_the_daemon(shop: Host) -> None:
    before, namespace = resolvers(shop), shop.process("shop-desk-1") / "ns/net"
    (server,) = parse_resolv_conf(etc(shop, "shop-desk-1", "resolv.conf")).nameservers
    assert shop.end(signal.SIGKILL) == -signal.SIGKILL
    assert len(within(namespace, lambda: ask(server, "web")).found) == 2
    shop.start()
    shop.until_converged(*RUNS)
    assert resolvers(shop) == before


def test_nothing_stays_when_all_is_taken_away(shop: Host) -> None:
    shop.remove("shop.yaml")
    shop.until_converged()
    shop.until(lambda: not resolvers(shop), "no resolver runs")


def test_the_host_is_found_by_the_name_that_it_was_given(shop: Host) -> None:
    hosts = etc(shop, "shop-desk-1", "hosts")
    assert "\tmachine\n" in hosts
    assert "\tlocalhost\n" in hosts
