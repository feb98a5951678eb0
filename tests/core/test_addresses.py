"""Bridges, subnets and addresses: known answers, and what holds for all questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import addresses
from reconciler.core.addresses import Pool, Refused, bridge_name, free_address, gateway
from reconciler.core.networking import Ipam

POOL = "10.192.0.0/12"
NAMES = st.text("abcdefghij-_0123456789", min_size=1, max_size=12)
ROUTES = st.builds(
    lambda address, prefix: str(IPv4Network((address, prefix), strict=False)),
    st.integers(min_value=int(IPv4Address("10.188.0.0")), max_value=int(IPv4Address("10.212.0.0"))),
    st.integers(min_value=13, max_value=32),
)


def subnets(
    names: Iterable[str], seen: dict[str, str], routes: Iterable[str], pool: str, prefix: int
) -> Mapping[str, str | Refused]:
    return addresses.subnets({name: Ipam() for name in names}, seen, routes, Pool(pool, prefix))


def chosen(names: set[str], seen: dict[str, str], routes: list[str], pool: str = POOL) -> dict[str, IPv4Interface]:
    answer = subnets(names, seen, routes, pool, 24)
    assert set(answer) == names
    return {name: IPv4Interface(subnet) for name, subnet in answer.items() if isinstance(subnet, str)}


# --- bridges -----------------------------------------------------------------------------------------------------


def test_a_bridge_keeps_its_name_in_every_release() -> None:
    assert bridge_name("reconciler", "shop_default") == "rc-7c47c2faba92"


@given(NAMES, NAMES, NAMES, NAMES)
def test_bridges_of_other_instances_and_networks_have_other_names(a: str, b: str, c: str, d: str) -> None:
    assert (bridge_name(a, b) == bridge_name(c, d)) == ((a, b) == (c, d))
    assert len(bridge_name(a, b).encode()) <= 15


# --- subnets -----------------------------------------------------------------------------------------------------


def test_a_network_starts_where_its_name_points_to() -> None:
    first = subnets(["shop_default"], {}, [], POOL, 24)
    assert first == {"shop_default": "10.202.155.1/24"}
    again = subnets(["shop_default", "blog_default"], {}, [], POOL, 24)
    assert again["shop_default"] == first["shop_default"]


def test_the_next_place_is_taken_when_the_first_is_not_free() -> None:
    answer = subnets(["shop_default"], {"other": "10.202.155.1/24"}, ["10.202.156.0/23"], POOL, 24)
    assert answer == {"shop_default": "10.202.158.1/24"}


def test_a_subnet_in_force_is_kept_even_outside_the_pool_and_beside_a_route() -> None:
    seen = {"shop_default": "172.20.5.1/16"}
    assert subnets(["shop_default"], seen, ["172.20.0.0/14"], POOL, 24) == {"shop_default": "172.20.0.1/16"}


def test_a_remembered_address_stands_for_its_subnet() -> None:
    assert subnets(["shop_default"], {"shop_default": "10.192.7.20/24"}, [], POOL, 24) == {
        "shop_default": "10.192.7.1/24"
    }


def test_a_network_without_an_address_is_as_a_new_one() -> None:
    assert subnets(["a"], {"a": ""}, [], POOL, 24) == subnets(["a"], {}, [], POOL, 24)


def test_an_exhausted_pool_says_so_and_names_the_network() -> None:
    answer = subnets(["a", "b", "c"], {}, [], "10.0.0.0/23", 24)
    refused = [value for value in answer.values() if isinstance(value, Refused)]
    assert refused == [
        Refused(
            "cannot choose a subnet for network c: no /24 is left in the address pool 10.0.0.0/23; "
            "set a larger address_pool or a longer network_prefix"
        )
    ]


def test_a_route_over_the_whole_pool_leaves_nothing() -> None:
    assert isinstance(subnets(["a"], {}, ["10.0.0.0/8"], POOL, 24)["a"], Refused)


def test_a_pool_smaller_than_a_network_has_no_place() -> None:
    assert isinstance(subnets(["a"], {}, [], "10.0.0.0/28", 24)["a"], Refused)


@given(st.sets(NAMES, max_size=12), st.lists(ROUTES, max_size=8))
def test_subnets_lie_in_the_pool_and_overlap_nothing(names: set[str], routes: list[str]) -> None:
    answer = chosen(names, {}, routes)
    networks = [value.network for value in answer.values()]
    assert all(network.subnet_of(IPv4Network(POOL)) and network.prefixlen == 24 for network in networks)
    others = [IPv4Network(route) for route in routes]
    for place, network in enumerate(networks):
        assert not any(network.overlaps(other) for other in [*networks[place + 1 :], *others])


@given(st.sets(NAMES, min_size=1, max_size=12), st.sets(NAMES, max_size=12), st.lists(ROUTES, max_size=5))
def test_a_network_in_force_never_moves(first: set[str], second: set[str], routes: list[str]) -> None:
    seen = {name: str(value) for name, value in chosen(first, {}, []).items()}
    later = chosen(first | second, seen, routes)
    assert {name: str(later[name]) for name in seen} == seen


@given(st.lists(NAMES, max_size=12), st.lists(ROUTES, max_size=4))
def test_the_order_of_the_question_is_no_matter(names: list[str], routes: list[str]) -> None:
    assert subnets(names, {}, routes, POOL, 24) == subnets(reversed(names), {}, reversed(routes), POOL, 24)


@given(st.sets(NAMES, max_size=8))
def test_either_a_place_or_a_reason_for_everybody(names: set[str]) -> None:
    answer = subnets(names, {}, [], "10.0.0.0/22", 24)
    placed = [value for value in answer.values() if isinstance(value, str)]
    assert len(placed) == min(len(names), 4)
    assert len(answer) == len(names)


# --- addresses ---------------------------------------------------------------------------------------------------


def test_addresses_are_given_from_below() -> None:
    assert free_address("10.192.3.1/24", []) == "10.192.3.2"
    assert free_address("10.192.3.1/24", ["10.192.3.2", "", "10.192.3.4"]) == "10.192.3.3"


def test_a_full_subnet_says_so() -> None:
    used = [f"10.0.0.{number}" for number in range(2, 7)]
    assert free_address("10.0.0.1/29", used) == Refused("cannot choose an address: all of 10.0.0.0/29 are in use")


@given(st.integers(min_value=24, max_value=30), st.sets(st.integers(min_value=0, max_value=255)))
def test_a_free_address_is_free(prefix: int, taken: set[int]) -> None:
    used = {str(IPv4Address("10.9.8.0") + number) for number in taken}
    network = IPv4Interface(f"10.9.8.0/{prefix}").network
    address = free_address(f"{gateway(str(network))}/{prefix}", used)
    hosts = {str(host) for host in network.hosts()} - {gateway(str(network))}
    assert isinstance(address, Refused) == (hosts <= used)
    if isinstance(address, str):
        assert address in hosts - used
