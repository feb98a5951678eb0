"""Records, views, resolvers: known answers, and what holds for all networks and all containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import dns
from reconciler.core.addresses import Refused, bridge_name
from reconciler.core.dns import Asker, View
from reconciler.core.model import Created, SeenContainer
from reconciler.core.networking import Attachment, Endpoint, Ipam, Network, Resolver, SeenNetwork
from tests.core.worlds import container, endpoint

FRONT = Network(name="shop_front", app="shop", spec="shop.yaml")
BACK = Network(name="shop_back", app="shop", spec="shop.yaml", internal=True)
DMZ = Network(name="dmz", app="edge", spec="edge.yaml")
NETWORKS = {network.name: network for network in (FRONT, BACK, DMZ)}


def bridge(network: Network, subnet: str, subnet6: str = "") -> SeenNetwork:
    return SeenNetwork(
        name=network.name, app=network.app, spec=network.spec, bridge=bridge_name("r", network.name),
        subnet=subnet, subnet6=subnet6,
    )  # fmt: skip


SEEN = {
    "shop_front": bridge(FRONT, "10.1.0.1/24", "fd00:1::1/64"),
    "shop_back": bridge(BACK, "10.2.0.1/24"),
    "dmz": bridge(DMZ, "10.3.0.1/29"),
}


def seen(number: int, service: str, *endpoints: Endpoint) -> SeenContainer:
    return SeenContainer(
        id=f"{number:064x}", name=f"shop-{service}-{number}", app="shop", service=service, replica=number,
        spec="shop.yaml", revision="r", image="i", image_digest="d", stop_signal="SIGTERM", stop_grace_period=10.0,
        state=Created(pid=1), created_at=0.0, endpoints=endpoints,
    )  # fmt: skip


def made(askers: Sequence[Asker] = (), **taken: set[str]) -> Mapping[str, Resolver]:
    found = dns.resolvers(NETWORKS, SEEN, askers, taken)
    assert all(isinstance(resolver, Resolver) for resolver in found.values())
    return {name: resolver for name, resolver in found.items() if isinstance(resolver, Resolver)}


# --- records -----------------------------------------------------------------------------------------------------


def test_a_container_has_a_file_in_each_of_its_networks_with_its_own_name_first() -> None:
    web = seen(
        7, "web", endpoint(FRONT, "10.1.0.2/24", ipv6="fd00:1::2/64", aliases=("www",)), endpoint(BACK, "10.2.0.2/24")
    )
    short = f"{7:064x}"[:12]
    front = f"shop-web-7 {short} web www shop-web-7.shop_front {short}.shop_front web.shop_front www.shop_front"
    assert dns.records([web], {web.id}) == {
        "shop_front": ((web.id, f"10.1.0.2\t{front}\nfd00:1::2\t{front}\n"),),
        "shop_back": (
            (
                web.id,
                f"10.2.0.2\tshop-web-7 {short} web shop-web-7.shop_back {short}.shop_back web.shop_back\n",
            ),
        ),
    }


def test_who_is_not_ready_has_no_name_that_it_shares_with_others() -> None:
    one, two = (seen(number, "web", endpoint(FRONT, f"10.1.0.{number}/24", aliases=("www",))) for number in (2, 3))
    files = dict(dns.records([one, two], {two.id})["shop_front"])
    assert "shop-web-2 " in files[one.id]
    assert " web" not in files[one.id]
    assert " www" not in files[one.id]
    assert " web " in files[two.id]
    assert " www " in files[two.id]


def test_networks_without_a_bridge_have_no_records() -> None:
    lan = Network(name="lan", app="shop", spec="s", driver="macvlan")
    assert (
        dns.records([seen(1, "web", Endpoint(network=lan, bridge="", interface="eth0", ipv4="10.9.0.2/24"))], ()) == {}
    )


def test_what_is_no_name_never_reaches_a_file() -> None:
    bad = ("two words", "line\nbreak", "10.0.0.1\tevil", "#comment", "", ".", "a..b", "-x", "x" * 64, "a." * 130, "ü")
    web = seen(1, "web", endpoint(FRONT, "10.1.0.2/24", aliases=(*bad, "good", "under_score", "two.labels")))
    ((_, text),) = dns.records([web], {web.id})["shop_front"]
    assert len(text.splitlines()) == 1
    names = text.split()[1:]
    assert [name for name in names if not name.endswith(".shop_front")] == [
        "shop-web-1", "000000000000", "web", "good", "under_score", "two.labels",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=12), max_size=4))
def test_every_line_is_an_address_and_names(aliases: list[str]) -> None:
    web = seen(1, "web", endpoint(FRONT, "10.1.0.2/24", ipv6="fd00:1::2/64", aliases=tuple(aliases)))
    ((_, text),) = dns.records([web], {web.id})["shop_front"]
    lines = text.split("\n")
    assert [line.split("\t")[0] for line in lines] == ["10.1.0.2", "fd00:1::2", ""]
    assert all(dns.is_name(name) for line in lines[:2] for name in line.split("\t")[1].split(" "))


def test_a_hostname_is_a_name_as_in_docker() -> None:
    place = Attachment(network="shop_front", aliases=("www", "web1"))
    assert dns.aliases(container(hostname="web1"), place) == ("www", "web1")
    assert dns.aliases(container(), place) == ("www", "web1")
    assert dns.aliases(container(hostname="other"), place) == ("www", "web1", "other")


# --- views -------------------------------------------------------------------------------------------------------


def test_a_view_is_all_networks_and_the_servers_behind_them() -> None:
    assert dns.view([FRONT], ()) == View(("shop_front",), None)
    assert dns.view([BACK], ()) == View(("shop_back",), ())
    assert dns.view([FRONT, BACK], ()) == dns.view([BACK, FRONT], ()) == View(("shop_back", "shop_front"), None)
    assert dns.view([FRONT], ("192.0.2.53",)) == View(("shop_front",), ("192.0.2.53",))


def test_servers_of_its_own_open_no_way_out_of_internal_networks() -> None:
    assert dns.view([BACK], ("192.0.2.53",)) == View(("shop_back",), ())


def test_without_a_bridge_of_ours_there_is_no_view() -> None:
    lan = Network(name="lan", app="shop", spec="s", driver="macvlan")
    assert dns.view([], ()) is None
    assert dns.view([lan], ()) is None
    assert dns.view([lan, BACK], ()) == View(("shop_back",), None)


# --- resolvers ---------------------------------------------------------------------------------------------------


def test_each_network_has_a_resolver_at_its_gateways() -> None:
    found = made()
    assert {name: (one.bridge, one.addresses, one.servers, one.networks) for name, one in found.items()} == {
        "shop_front": (SEEN["shop_front"].bridge, ("10.1.0.1", "fd00:1::1"), None, ("shop_front",)),
        "shop_back": (SEEN["shop_back"].bridge, ("10.2.0.1",), (), ("shop_back",)),
        "dmz": (SEEN["dmz"].bridge, ("10.3.0.1",), None, ("dmz",)),
    }


def test_a_network_whose_bridge_is_not_there_yet_has_none() -> None:
    assert set(dns.resolvers(NETWORKS, {"dmz": SEEN["dmz"]}, [Asker(View(("shop_front", "z")))], {})) == {"dmz"}


def test_who_sees_no_more_than_the_network_s_own_resolver_asks_that() -> None:
    for network in (FRONT, BACK):
        own = dns.view([network], ())
        assert own is not None
        found = made([Asker(own)])
        assert set(found) == set(NETWORKS)
        assert dns.nameservers(own, found) == found[network.name].addresses[:1]
        assert network.name not in dns.extra_addresses(found)


def test_another_view_has_a_resolver_at_an_address_of_its_own() -> None:
    both = View(("shop_back", "shop_front"))
    found = made([Asker(both), Asker(both)])
    (name,) = set(found) - set(NETWORKS)
    assert found[name].networks == ("shop_back", "shop_front")
    assert found[name].servers is None
    assert found[name].bridge == SEEN["shop_back"].bridge
    assert dns.nameservers(both, found) == found[name].addresses == ("10.2.0.254",)
    assert dns.extra_addresses(found) == {"shop_back": ("10.2.0.254",)}


def test_an_address_that_somebody_asks_already_is_kept() -> None:
    both, own = View(("shop_back", "shop_front")), View(("shop_back", "zone"), ("192.0.2.1",))
    first = made([Asker(both)])
    second = made([Asker(own), Asker(both, dns.nameservers(both, first))])
    assert dns.nameservers(both, second) == dns.nameservers(both, first)
    assert dns.nameservers(own, second) == ("10.2.0.253",)
    assert set(dns.extra_addresses(second)["shop_back"]) == {"10.2.0.254", "10.2.0.253"}


def test_an_address_of_another_subnet_is_not_kept() -> None:
    both = View(("shop_back", "shop_front"))
    assert dns.nameservers(both, made([Asker(both, ("10.77.0.254",))])) == ("10.2.0.254",)


def test_addresses_of_containers_and_reserved_ones_are_left_alone() -> None:
    both = View(("dmz", "shop_front"))
    assert dns.nameservers(both, made([Asker(both)], dmz={"10.3.0.6", "10.3.0.2"})) == ("10.3.0.5",)
    networks = {**NETWORKS, "dmz": replace(DMZ, ipv4=Ipam(reserved=("10.3.0.6", "10.3.0.5")))}
    assert dns.nameservers(both, dns.resolvers(networks, SEEN, [Asker(both)], {})) == ("10.3.0.4",)


def test_a_full_subnet_is_said() -> None:
    both = View(("dmz", "shop_front"))
    taken = {"dmz": {f"10.3.0.{number}" for number in range(2, 7)}}
    refused = dns.resolvers(NETWORKS, SEEN, [Asker(both)], taken)[both.resolver]
    assert isinstance(refused, Refused)
    assert refused.message.startswith("cannot choose an address for a resolver: all of 10.3.0.0/29 are in use")
    assert dns.nameservers(both, {both.resolver: refused}) == ()


def test_in_a_network_of_ipv6_only_the_address_is_of_that() -> None:
    six = {"shop_front": bridge(FRONT, "", "fd00:1::1/64"), "dmz": SEEN["dmz"]}
    both = View(("shop_front", "zone"))
    found = dns.resolvers(NETWORKS, six, [Asker(both)], {})
    assert dns.nameservers(both, found) == ("fd00:1::ffff:ffff:ffff:ffff",)


views = st.builds(
    View,
    st.lists(st.sampled_from(sorted(NETWORKS)), min_size=1, max_size=3, unique=True).map(
        lambda names: tuple(sorted(names))
    ),
    st.sampled_from([None, (), ("192.0.2.1",), ("192.0.2.1", "192.0.2.2")]),
)


@given(st.lists(views, max_size=4), st.lists(views, max_size=4))
def test_views_that_come_and_go_move_nobody_and_share_no_address(before: list[View], after: list[View]) -> None:
    first = dns.resolvers(NETWORKS, SEEN, map(Asker, before), {})
    told = [Asker(one, dns.nameservers(one, first)) for one in before]
    second = dns.resolvers(NETWORKS, SEEN, [*map(Asker, after), *told], {})
    for asker in told:
        assert dns.nameservers(asker.view, second) == asker.nameservers or asker.nameservers == ()
    listening = [address for one in second.values() if isinstance(one, Resolver) for address in one.addresses]
    assert len(listening) == len(set(listening))
    for one in second.values():
        if isinstance(one, Resolver):
            place = SEEN[one.networks[0]]
            subnets = [ip_interface(subnet).network for subnet in (place.subnet, place.subnet6) if subnet]
            assert one.bridge == place.bridge
            assert all(any(ip_address(address) in subnet for subnet in subnets) for address in one.addresses)


@given(views, views)
def test_other_views_have_other_resolvers(one: View, two: View) -> None:
    def means(view: View) -> object:  # nobody is asked in internal networks only, so () there is a network's own view
        return (view.networks, view.servers or None) if len(view.networks) == 1 else view

    assert (one.resolver == two.resolver) == (means(one) == means(two))


# --- what never leaves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subnet", "zones"),
    [
        ("10.1.2.1/24", ["2.1.10.in-addr.arpa"]),
        ("10.1.0.1/16", ["1.10.in-addr.arpa"]),
        ("10.1.2.129/25", [f"{number}.2.1.10.in-addr.arpa" for number in range(128, 256)]),
        ("10.1.4.1/23", ["4.1.10.in-addr.arpa", "5.1.10.in-addr.arpa"]),
        ("fd00:1::1/64", ["0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"]),
        ("fd00:1::1/63", [f"{digit}.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa" for digit in "01"]),
    ],
)
def test_reverse_zones(subnet: str, zones: list[str]) -> None:
    place = {"dmz": bridge(DMZ, subnet if ":" not in subnet else "", subnet if ":" in subnet else "")}
    found = dns.resolvers({"dmz": DMZ}, place, [], {})["dmz"]
    assert isinstance(found, Resolver)
    assert found.local == ("dmz", *zones)


@given(st.integers(0, 2**32 - 1), st.integers(1, 32))
def test_reverse_zones_are_those_of_the_subnet_and_no_others(number: int, prefix: int) -> None:
    network = ip_network((number, prefix), strict=False)
    place = {"dmz": bridge(DMZ, f"{network[0]}/{prefix}")}
    found = dns.resolvers({"dmz": DMZ}, place, [], {})["dmz"]
    assert isinstance(found, Resolver)
    zones = [zone.removesuffix(".in-addr.arpa").split(".")[::-1] for zone in found.local[1:]]
    assert sum(2 ** (32 - 8 * len(labels)) for labels in zones) == network.num_addresses
    for labels in zones:
        assert ip_address(".".join([*labels, *"000"[: 4 - len(labels)]])) in network


def test_a_view_keeps_the_domains_of_all_its_networks() -> None:
    both = View(("dmz", "shop_front"))
    found = made([Asker(both)])[both.resolver]
    assert {"dmz", "shop_front", "0.1.10.in-addr.arpa"} < set(found.local)


def test_what_dnsmasq_is_told() -> None:
    found = made([Asker(View(("dmz",), ("192.0.2.1", "2001:db8::1")))])
    own = dns.arguments(found["shop_front"])
    assert {"--no-hosts", "--local=//", "--bind-interfaces", "--local-ttl=0", "--conf-file=/dev/null"} < set(own)
    assert [word for word in own if "listen" in word] == ["--listen-address=10.1.0.1", "--listen-address=fd00:1::1"]
    assert not any(word.startswith(("--no-resolv", "--server", "--address")) for word in own)
    assert {"--no-resolv", "--address=/#/"} < set(dns.arguments(found["shop_back"]))
    (name,) = set(found) - set(NETWORKS)
    assert {"--no-resolv", "--server=192.0.2.1", "--server=2001:db8::1"} < set(dns.arguments(found[name]))


def test_a_fingerprint_tells_resolvers_apart() -> None:
    found = [*made([Asker(View(("dmz", "shop_front")))]).values()]
    changed = [replace(found[0], addresses=("10.1.0.9",)), replace(found[0], servers=("192.0.2.1",))]
    prints = [dns.fingerprint(resolver) for resolver in (*found, *changed)]
    assert len(set(prints)) == len(prints)
    assert prints[: len(found)] == [dns.fingerprint(replace(resolver)) for resolver in found]
