"""What is not as it was made, said in one clause: nothing of what was made can be missing unsaid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.networking import Driver, Endpoint, Network
from reconciler.core.wiring import (
    LINK_LOCAL,
    Bridge,
    HostEnd,
    Inside,
    Interface,
    Made,
    bridge_settings,
    disconnected,
    drift,
    mac_address,
    subnet_of,
)

NUMBERS = st.integers(2, 254)
DRIVERS: st.SearchStrategy[Driver] = st.sampled_from(["bridge", "macvlan", "ipvlan", "cni"])


@st.composite
def endpoints(draw: st.DrawFn) -> tuple[Endpoint, ...]:
    """Up to four places in networks of any driver, with any mix of addresses; the first has the default routes."""
    return tuple(_endpoint(draw, place) for place in range(draw(st.integers(0, 4))))


def _endpoint(draw: st.DrawFn, place: int) -> Endpoint:
    driver, number = draw(DRIVERS), draw(NUMBERS)
    ipv4 = draw(st.sampled_from(["", f"10.192.{place}.{number}/24"]))
    ipv6 = draw(st.sampled_from(["", f"fd00:{place + 1}::{number:x}/64"]))
    return Endpoint(
        network=Network(name=f"n{place}", app="a", spec="s", driver=driver),
        bridge=f"rc-{place}" if driver == "bridge" else "",
        interface=f"eth{place}",
        ipv4=ipv4,
        ipv6=ipv6,
        gateway4=f"10.192.{place}.1" if ipv4 and not place and driver != "cni" else "",
        gateway6=f"fd00:{place + 1}::1" if ipv6 and not place and driver != "cni" else "",
        mac=draw(st.sampled_from(["", "02-42-AA-bb-cc-00"])),
    )


def healthy(endpoint: Endpoint) -> Interface:
    """The interface as it was made."""
    addresses = tuple(filter(None, (endpoint.ipv4, endpoint.ipv6)))
    return Interface(
        mac=mac_address(endpoint) or "02:00:00:00:00:01",
        addresses=addresses,
        subnets=tuple(map(subnet_of, addresses)),
        gateways=tuple(filter(None, (endpoint.gateway4, endpoint.gateway6))),
    )


def inside(made: tuple[Endpoint, ...]) -> Inside:
    return Inside(interfaces={endpoint.interface: healthy(endpoint) for endpoint in made})


def ends(made: tuple[Endpoint, ...]) -> dict[str, HostEnd]:
    return {
        endpoint.bridge: HostEnd(name=f"rc0{place}", bridge=endpoint.bridge)
        for place, endpoint in enumerate(made)
        if endpoint.bridge
    }


@given(endpoints())
def test_what_is_as_it_was_made_is_connected(made: tuple[Endpoint, ...]) -> None:
    assert disconnected(made, inside(made), ends(made)) == ""


@given(endpoints())
def test_whatever_is_added_beside_is_no_fault(made: tuple[Endpoint, ...]) -> None:
    more = {
        name: replace(
            seen,
            addresses=("172.16.0.1/12", *seen.addresses, "fe80::1/64"),
            subnets=(*seen.subnets, "172.16.0.0/12"),
            gateways=("172.16.0.9", *seen.gateways),
        )
        for name, seen in inside(made).interfaces.items()
    }
    seen = Inside(interfaces={**more, "tun0": Interface(up=False)})
    assert disconnected(made, seen, ends(made) | {"rc-other": HostEnd(name="x", up=False)}) == ""


@given(endpoints())
def test_without_a_namespace_nothing_is_connected(made: tuple[Endpoint, ...]) -> None:
    assert disconnected(made, None, ends(made)) == "its network namespace is gone"
    assert disconnected(made, replace(inside(made), loopback=False), ends(made)) == "its loopback is down"


DAMAGE_INSIDE: list[tuple[Callable[[Interface], Interface], str]] = [
    (lambda seen: replace(seen, up=False), "is down"),
    (lambda seen: replace(seen, addresses=seen.addresses[1:]), "its address"),
    (lambda seen: replace(seen, addresses=seen.addresses[:-1]), "its address"),
    (lambda seen: replace(seen, subnets=seen.subnets[1:]), "its route to"),
    (lambda seen: replace(seen, subnets=seen.subnets[:-1]), "its route to"),
    (lambda seen: replace(seen, gateways=seen.gateways[1:]), "its default route by"),
    (lambda seen: replace(seen, mac="02:00:00:00:00:02"), "the MAC address of"),
]


@given(endpoints().filter(bool), st.data())
def test_each_fault_inside_is_said(made: tuple[Endpoint, ...], data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from(made))
    damage, words = data.draw(st.sampled_from(DAMAGE_INSIDE))
    before = healthy(endpoint)
    after = damage(before)
    shown = inside(made)
    seen = replace(shown, interfaces={**shown.interfaces, endpoint.interface: after})
    said = disconnected(made, seen, ends(made))
    matters = after != before and (after.mac == before.mac or mac_address(endpoint) != "")
    if endpoint.network.driver == "cni":  # its plugins route as they like
        matters = matters and (after.subnets, after.gateways) == (before.subnets, before.gateways)
    assert words in said if matters else said == ""


@given(endpoints().filter(bool), st.data())
def test_an_interface_that_is_gone_is_said(made: tuple[Endpoint, ...], data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from(made))
    left = {name: seen for name, seen in inside(made).interfaces.items() if name != endpoint.interface}
    assert disconnected(made, Inside(interfaces=left), ends(made)) == f"{endpoint.interface} is gone"


DAMAGE_OUTSIDE: list[tuple[Callable[[HostEnd], HostEnd | None], str]] = [
    (lambda end: None, "the host's end of {} is gone"),
    (lambda end: replace(end, up=False), "the host's end of {} is down"),
    (lambda end: replace(end, bridge=""), "{} is not on bridge {}"),
    (lambda end: replace(end, bridge="br0"), "{} is not on bridge {}"),
    (lambda end: replace(end, hairpin=False), "hairpin of {} is off"),
]


@given(endpoints(), st.data())
def test_each_fault_of_the_hosts_end_is_said(made: tuple[Endpoint, ...], data: st.DataObject) -> None:
    bridged = [endpoint for endpoint in made if endpoint.bridge]
    if not bridged:
        return
    endpoint = data.draw(st.sampled_from(bridged))
    damage, words = data.draw(st.sampled_from(DAMAGE_OUTSIDE))
    shown = ends(made)
    end = damage(shown.pop(endpoint.bridge))
    seen = shown | ({endpoint.bridge: end} if end else {})
    assert disconnected(made, inside(made), seen) == words.format(endpoint.interface, endpoint.bridge)


# --- addresses ---------------------------------------------------------------------------------------------------


def test_a_mac_follows_from_the_address_unless_it_is_declared() -> None:
    network = Network(name="n", app="a", spec="s")
    end = Endpoint(network=network, bridge="rc-0", interface="eth0", ipv4="10.192.3.2/24")
    assert mac_address(end) == "02:42:0a:c0:03:02"
    assert mac_address(replace(end, mac="02-42-AC-11-00-03")) == "02:42:ac:11:00:03"
    assert mac_address(replace(end, network=replace(network, driver="ipvlan"))) == ""


@given(NUMBERS, NUMBERS)
def test_macs_of_ipv6_alone_are_distinct_and_locally_administered(one: int, other: int) -> None:
    network = Network(name="n", app="a", spec="s")
    first, second = (
        mac_address(Endpoint(network=network, bridge="rc-0", interface="eth0", ipv6=f"fd00::{number:x}/64"))
        for number in (one, other)
    )
    assert (first == second) == (one == other)
    assert int(first[:2], 16) & 3 == 2


def test_an_address_that_is_a_whole_network_needs_no_route_to_it() -> None:
    network = Network(name="n", app="a", spec="s", driver="macvlan")
    end = Endpoint(network=network, bridge="", interface="eth0", ipv4="192.0.2.5/32", ipv6="2001:db8::5/128")
    seen = Interface(mac=mac_address(end), addresses=(end.ipv4, end.ipv6))
    assert disconnected((end,), Inside(interfaces={"eth0": seen}), {}) == ""


# --- bridges -----------------------------------------------------------------------------------------------------

MADE = Made(subnet="10.192.3.1/24", subnet6="fd00::1/64", mtu=1500)
SEEN = Bridge(
    mtu=1500,
    addresses=("10.192.3.1/24", "fd00::1/64", LINK_LOCAL),
    subnets=("10.192.3.0/24", "fd00::/64"),
    settings=bridge_settings("rc-0", MADE),
)


def test_a_bridge_as_it_was_made() -> None:
    assert drift("rc-0", MADE, SEEN) == ""
    assert drift("rc-0", replace(MADE, mtu=0), replace(SEEN, mtu=9000)) == "", "an older release did not say"
    assert drift("rc-0", MADE, replace(SEEN, settings={})) == "", "a kernel without them"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(SEEN, up=False), "bridge rc-0 is down"),
        (replace(SEEN, mtu=1400), "the MTU of rc-0 is 1400, not 1500"),
        (replace(SEEN, addresses=SEEN.addresses[1:]), "its address 10.192.3.1/24 is gone"),
        (replace(SEEN, addresses=SEEN.addresses[:1]), "its address fd00::1/64 is gone"),
        (replace(SEEN, addresses=SEEN.addresses[:2]), f"its address {LINK_LOCAL} is gone"),
        (replace(SEEN, subnets=SEEN.subnets[1:]), "the route to 10.192.3.0/24 is gone"),
        (replace(SEEN, subnets=SEEN.subnets[:1]), "the route to fd00::/64 is gone"),
    ],
)
def test_each_fault_of_a_bridge_is_said(seen: Bridge, said: str) -> None:
    assert drift("rc-0", MADE, seen) == said


@given(st.sampled_from(sorted(bridge_settings("rc-0", MADE))), st.integers(0, 3))
def test_each_setting_is_watched(name: str, value: int) -> None:
    wanted = bridge_settings("rc-0", MADE)[name]
    said = drift("rc-0", MADE, replace(SEEN, settings={**SEEN.settings, name: value}))
    assert said == ("" if value == wanted else f"net.{name} is {value}")


def test_a_network_asks_for_the_settings_of_its_families_only() -> None:
    assert all(name.startswith("ipv4.") for name in bridge_settings("b", Made(subnet="10.0.0.1/8")))
    assert all(name.startswith("ipv6.") for name in bridge_settings("b", Made(subnet6="fd00::1/64")))
