"""Networks over the whole host: full names, shared namespaces, subnets and addresses that two want."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.document import Dependency, Document, NetworkDeclaration, Networking, Place, Service
from reconciler.core.joining import blocked, misfits, overlap
from reconciler.core.model import Container
from reconciler.core.networking import Attachment, Destination, Ipam, Network
from tests.core.documents import declared, joined, published, resolved, service, spec

OWN = Ipam(subnet="10.5.0.0/24")


def app(path: str, *networks: NetworkDeclaration, **services: Networking) -> Document:
    """A spec of services by their networks; networks that it does not declare are external."""
    found = tuple(Service(name=name, image="docker.io/library/a:1", networking=it) for name, it in services.items())
    return Document(path=path, at=Place(1, 1), services=found, networks=networks)


def sharing(owner: str) -> Networking:
    return Networking(connections=(), shares=Dependency(service=owner, key="network_mode", at=Place(8, 9)))


# --- full names --------------------------------------------------------------------------------------------------


def test_attachments_have_full_names_in_the_order_of_the_document() -> None:
    networks = (declared("back"), declared("front", "public"), declared("theirs", "shop_all", external=True))
    desired = resolved(app("a.yaml", *networks, web=joined("theirs", "front", "back", aliases=("www",))))
    assert desired.containers["a-web-1"].networks == tuple(
        Attachment(network=name, aliases=("www",)) for name in ("shop_all", "public", "a_back")
    )
    assert set(desired.networks) == {"a_back", "public"}
    assert {network.app for network in desired.networks.values()} == {"a"}


def test_an_external_network_without_a_name_has_that_of_its_key() -> None:
    desired = resolved(app("a.yaml", declared("all", external=True), web=joined("all")))
    assert desired.containers["a-web-1"].networks == (Attachment(network="all"),)
    assert desired.held == {}
    assert desired.networks == {}


def test_a_network_that_only_another_app_joins_is_wanted() -> None:
    owner = app("a.yaml", declared("all", "all"), declared("unused"), web=Networking(connections=()))
    desired = resolved(owner, app("b.yaml", declared("default", "all", external=True), web=joined("default")))
    assert {name: network.app for name, network in desired.networks.items()} == {"all": "a"}
    assert resolved(owner).networks == {}


def test_without_replicas_no_network_is_wanted() -> None:
    desired = resolved(spec("a.yaml", replace(service(), replicas=0)))
    assert (desired.networks, desired.containers) == ({}, {})


@pytest.mark.parametrize(
    ("fields", "matters"),
    [
        ({}, False),
        ({"internal": True}, False),
        ({"labels": (("a", "b"),)}, False),
        ({"ipv4": Ipam(subnet="10.5.0.0/24")}, True),
        ({"enable_ipv6": True}, True),
        ({"mtu": 1400}, True),
        ({"bridge": "br0"}, True),
        ({"driver": "macvlan", "parent": "eth0"}, True),
    ],
)
def test_what_of_a_network_needs_other_containers(fields: dict[str, Any], matters: bool) -> None:
    desired = resolved(app("a.yaml", declared("default", **fields), web=joined("default")))
    assert bool(desired.containers["a-web-1"].networks[0].declared) == matters


def test_where_addresses_are_handed_out_from_needs_no_other_containers() -> None:
    ipams = OWN, replace(OWN, ip_range="10.5.0.64/26", reserved=("10.5.0.9",)), replace(OWN, gateway="10.5.0.9")
    found = [resolved(app("a.yaml", declared("default", ipv4=ipam), web=joined("default"))) for ipam in ipams]
    plain, ranged, moved = (desired.containers["a-web-1"].networks[0].declared for desired in found)
    assert plain == ranged != moved


def test_the_owner_of_an_external_network_decides_alone_what_it_is() -> None:
    """So that a spec that cannot be read changes no container of another app."""
    guest = app("b.yaml", declared("default", "all", external=True), web=joined("default"))
    alone = resolved(guest)
    together = resolved(app("a.yaml", declared("default", "all", ipv4=OWN), web=joined("default")), guest)
    assert together.containers["b-web-1"] == alone.containers["b-web-1"]


# --- shared namespaces -------------------------------------------------------------------------------------------


def waited_for(container: Container) -> list[str]:
    """Those that it depends on."""
    return [entry.service for entry in container.depends_on]


def test_all_replicas_share_the_first_container_of_the_other_service() -> None:
    found = (
        replace(service("web"), networking=sharing("vpn"), replicas=2, depends_on=(Dependency(service="db"),)),
        replace(service("vpn"), replicas=2),
        service("db"),
    )
    desired = resolved(spec("a.yaml", *found))
    for replica in ("a-web-1", "a-web-2"):
        container = desired.containers[replica]
        assert (container.shares, container.networks) == ("a-vpn-1", ())
        assert waited_for(container) == ["db", "vpn"]


def test_who_shares_with_one_that_shares_is_with_the_owner_too() -> None:
    services = app("a.yaml", declared("default"), c=sharing("b"), b=sharing("a"), a=joined("default"))
    found = resolved(services).containers
    assert (found["a-c-1"].shares, waited_for(found["a-c-1"])) == ("a-a-1", ["a", "b"])
    assert (found["a-b-1"].shares, waited_for(found["a-b-1"])) == ("a-a-1", ["a"])


def test_who_shares_with_one_on_the_hosts_network_is_there_too() -> None:
    host = Networking(connections=(), host_network=True)
    found = resolved(app("a.yaml", web=sharing("agent"), agent=host)).containers["a-web-1"]
    assert (found.host_network, found.shares, waited_for(found)) == (True, "", ["agent"])


@pytest.mark.parametrize(
    ("services", "errors"),
    [
        ({"a": sharing("b")}, ["'network_mode' of service 'a': there is no service 'b' in this app"]),
        ({"a": sharing("a")}, ["'network_mode' of service 'a': it depends on itself: a -> a"]),
        ({"a": sharing("b"), "b": sharing("a")}, ["'network_mode' of service 'a': it depends on itself: a -> b -> a"]),
    ],
)
def test_what_cannot_be_shared(services: dict[str, Networking], errors: list[str]) -> None:
    held = resolved(app("x.yaml", **services)).held["x"]
    assert held.splitlines() == [f"x.yaml:8:9: cannot use {error}" for error in errors]


def test_a_service_without_containers_has_no_network_to_share() -> None:
    services = replace(service("a"), networking=sharing("b")), replace(service("b"), replicas=0)
    why = "x.yaml:8:9: cannot use 'network_mode' of service 'a': service 'b' has no container; it has 0 replicas"
    assert resolved(spec("x.yaml", *services)).held["x"] == why


def test_a_circle_of_both_kinds() -> None:
    services = replace(service("a"), networking=sharing("b")), service("b", needs=("a",))
    why = "x.yaml:8:9: cannot use 'network_mode' of service 'a': it depends on itself: a -> b -> a"
    assert resolved(spec("x.yaml", *services)).held["x"] == why


# --- what two want -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (
            declared("net", ipv4=Ipam(subnet="10.0.0.0/8")),
            declared("net", ipv4=Ipam(subnet="10.5.0.0/24")),
            "cannot use subnet 10.5.0.0/24 of network 'b_net' for app 'b' (b.yaml): "
            "it overlaps 10.0.0.0/8 of network 'a_net' of app 'a' (a.yaml)",
        ),
        (
            declared("net", enable_ipv6=True, ipv6=Ipam(subnet="fd00::/64")),
            declared("net", enable_ipv6=True, ipv6=Ipam(subnet="fd00::/48")),
            "cannot use subnet fd00::/48 of network 'b_net' for app 'b' (b.yaml): "
            "it overlaps fd00::/64 of network 'a_net' of app 'a' (a.yaml)",
        ),
        (
            declared("net", bridge="br0"),
            declared("net", bridge="br0"),
            "cannot use bridge 'br0' for app 'b' (b.yaml): app 'a' (a.yaml) has it",
        ),
        (
            declared("net", "all"),
            declared("net", "all"),
            "cannot use network 'all' for app 'b' (b.yaml): app 'a' (a.yaml) has it",
        ),
        (declared("net", ipv4=Ipam(subnet="10.4.0.0/24")), declared("net", ipv4=Ipam(subnet="10.5.0.0/24")), ""),
        (declared("net", bridge="br0"), declared("net", bridge="br1"), ""),
    ],
)
def test_what_two_apps_declare(one: NetworkDeclaration, other: NetworkDeclaration, why: str) -> None:
    desired = resolved(app("a.yaml", one, web=joined("net")), app("b.yaml", other, web=joined("net")))
    line = f"b.yaml:9:3: {why}"
    assert desired.held == ({"b.yaml": line, "b": line} if why else {})


def test_two_networks_of_one_app_must_not_overlap_either() -> None:
    found = resolved(app("a.yaml", declared("one", ipv4=OWN), declared("two", ipv4=OWN), web=joined("one", "two")))
    assert found.held["a"] == (
        "a.yaml:9:3: cannot use subnet 10.5.0.0/24 of network 'a_two' for app 'a' (a.yaml): "
        "it overlaps 10.5.0.0/24 of network 'a_one' of app 'a' (a.yaml)"
    )


def test_two_networks_of_one_app_cannot_have_one_name() -> None:
    found = resolved(app("a.yaml", declared("one", "all"), declared("two", "all"), web=joined("one"), db=joined("two")))
    assert found.held["a"] == "a.yaml:9:3: cannot use network 'all' for app 'a' (a.yaml): this app has it twice"


def test_an_address_can_be_had_once_whoever_asks() -> None:
    owner = app("a.yaml", declared("net", "all", ipv4=OWN), web=joined("net", ipv4_address="10.5.0.9"))
    guest = app("b.yaml", declared("net", "all", external=True), web=joined("net", ipv4_address="10.5.0.9"))
    assert resolved(owner, guest).held["b"] == (
        "b.yaml:6:7: cannot use address 10.5.0.9 in network 'all' for app 'b' (b.yaml): app 'a' (a.yaml) has it"
    )
    own = joined("net", ipv4_address="10.5.0.9")
    assert resolved(app("a.yaml", declared("net", ipv4=OWN), web=own, db=own)).held["a"] == (
        "a.yaml:6:7: cannot use address 10.5.0.9 in network 'a_net' for app 'a' (a.yaml): this app has it twice"
    )


def test_the_same_address_in_two_networks_is_two_addresses() -> None:
    six = Ipam(subnet="fd00::/64")
    networks = declared("a", ipv4=OWN), declared("b", enable_ipv6=True, ipv6=six)
    services = {"web": joined("a", ipv4_address="10.5.0.9"), "db": joined("b", ipv6_address="fd00::9")}
    assert resolved(app("a.yaml", *networks, **services)).held == {}


@pytest.mark.parametrize(
    ("theirs", "ours", "why"),
    [
        (
            declared("net", "all", ipv4=OWN),
            joined("net", ipv4_address="10.6.0.9"),
            "'ipv4_address' of service 'web' in network 'all': 10.6.0.9 is not in 10.5.0.0/24",
        ),
        (
            declared("net", "all"),
            joined("net", ipv6_address="fd00::9"),
            "'ipv6_address' of service 'web' in network 'all': the network needs 'enable_ipv6: true'",
        ),
        (
            declared("net", "all", driver="ipvlan", parent="eth0"),
            replace(joined("net"), egress=()),
            "'x-egress' of service 'web': what goes through network 'all' (ipvlan) does not pass the host's firewall",
        ),
        (declared("net", "all", ipv4=OWN), joined("net", ipv4_address="10.5.0.9"), ""),
    ],
)
def test_a_guest_goes_by_the_declaration_of_the_owner(theirs: NetworkDeclaration, ours: Networking, why: str) -> None:
    """Wherever its spec stands; the owner is never held for it."""
    for owner, guest in (("a", "b"), ("b", "a")):
        desired = resolved(
            app(f"{owner}.yaml", theirs, web=joined("net")),
            app(f"{guest}.yaml", declared("net", "all", external=True), web=ours),
        )
        line = f"{guest}.yaml:6:7: cannot use {why}"
        assert desired.held == ({f"{guest}.yaml": line, guest: line} if why else {})


def test_ports_cannot_be_published_in_a_closed_network_of_another_app() -> None:
    guest = replace(service(ports=(published(80),)), networking=joined("net"))
    document = replace(spec("b.yaml", guest), networks=(declared("net", "all", external=True),))
    owner = app("a.yaml", declared("net", "all", internal=True), web=joined("net"))
    assert "cannot use 'ports' of service 'web': the host forwards to bridges" in resolved(owner, document).held["b"]
    assert resolved(document).held == {}


# --- one service, one network ------------------------------------------------------------------------------------

SUBNETS = st.builds(
    lambda base, prefix: str(ip_network((base, prefix), strict=False)),
    st.integers(10 << 24, (10 << 24) + 4095),
    st.integers(20, 30),
)


@given(SUBNETS, SUBNETS)
def test_two_subnets_overlap_when_they_have_an_address_in_common(one: str, other: str) -> None:
    common = set(ip_network(one)) & set(ip_network(other))
    assert overlap(one, other) == overlap(other, one) == bool(common)
    assert not overlap(one, "fd00::/64")


@given(SUBNETS, st.integers(10 << 24, (10 << 24) + 4095), st.booleans())
def test_an_address_fits_when_a_host_of_the_subnet_can_have_it(subnet: str, number: int, gateway: bool) -> None:
    hosts = [str(host) for host in ip_network(subnet).hosts()]
    ipam = Ipam(subnet=subnet, gateway=hosts[-1] if gateway else "", reserved=(hosts[1],))
    network = Network(name="a", app="a", spec="a", ipv4=ipam)
    address = str(ip_network(number).network_address)
    free = set(hosts) - {hosts[-1] if gateway else hosts[0], hosts[1]}
    assert (not list(misfits(Attachment(network="a", ipv4_address=address), network))) == (address in free)


@pytest.mark.parametrize(
    ("networks", "host_ips", "egress", "keys"),
    [
        ([{}], [""], True, []),
        ([{}, {"driver": "macvlan"}], [""], False, []),
        ([{}, {"driver": "macvlan"}], [""], True, ["x-egress"]),
        ([{"driver": "macvlan"}], [""], False, ["ports"]),
        ([{"driver": "cni"}], ["::"], True, ["x-egress", "ports"]),
        ([{"internal": True}], [], True, []),
        ([{"internal": True}], ["127.0.0.1"], True, ["ports"]),
        ([{"internal": True}, {}], ["127.0.0.1"], True, []),
        ([{}], ["::"], False, ["ports"]),
        ([{"enable_ipv6": True}], ["", "2001:db8::1"], False, []),
        ([{"enable_ipv6": True, "internal": True}, {}], ["2001:db8::1"], False, ["ports"]),
    ],
)
def test_what_passes_the_host(
    networks: list[dict[str, Any]], host_ips: list[str], egress: bool, keys: list[str]
) -> None:
    found = [replace(Network(name="a", app="a", spec="a"), **fields) for fields in networks]
    assert [key for key, _ in blocked(found, host_ips, egress)] == keys


def test_two_keys_of_one_network_are_joined_once() -> None:
    keys = declared("one", "all", external=True), declared("two", "all", external=True)
    assert resolved(app("a.yaml", *keys, web=joined("one"), db=joined("two"))).held == {}
    assert resolved(app("a.yaml", *keys, web=joined("one", "two"))).held["a"] == (
        "a.yaml:6:7: cannot use 'networks' of service 'web': it joins network 'all' twice, by different keys"
    )


def test_policies_and_names_reach_the_container() -> None:
    knows = replace(
        joined("default"),
        hostname="h",
        domainname="example",
        dns=("1.1.1.1",),
        dns_search=("example",),
        dns_opt=("ndots:2",),
        extra_hosts=(("a", "host-gateway"),),
        sysctls=(("net.core.somaxconn", "1"),),
        expose=("80/tcp",),
        egress=(Destination(host="10.0.0.0/8"),),
    )
    container = resolved(app("a.yaml", declared("default"), web=knows)).containers["a-web-1"]
    for name in (
        "hostname",
        "domainname",
        "dns",
        "dns_search",
        "dns_opt",
        "extra_hosts",
        "sysctls",
        "expose",
        "egress",
    ):
        assert getattr(container, name) == getattr(knows, name)
