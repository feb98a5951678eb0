"""Addresses and routes as messages: what is written reads back, whatever the family."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host import inet
from reconciler.host.inet import Address, Route
from reconciler.host.netlink import Netlink
from tests.host.network.conftest import ip

INDICES = st.integers(1, 1 << 20)
ADDRESSES = st.builds(lambda value, prefix: f"{value}/{prefix}", st.ip_addresses(v=4), st.integers(1, 32)) | st.builds(
    lambda value, prefix: f"{value}/{prefix}", st.ip_addresses(v=6), st.integers(1, 128)
)
GATEWAYS = st.ip_addresses().map(str)


def same(one: str, other: str) -> bool:
    """The kernel writes IPv6 as RFC 5952 wants it, with dotted ends; what counts is the value."""
    return ip_interface(one) == ip_interface(other)


@given(INDICES, ADDRESSES)
def test_an_address_reads_back(index: int, interface: str) -> None:
    seen = inet.parse_address(inet.add_address(Address(index, interface)).body)
    assert (seen.index, seen.secondary) == (index, False)
    assert same(seen.interface, interface)
    assert inet.parse_address(inet.delete_address(seen).body) == seen


@given(INDICES, GATEWAYS)
def test_a_default_route_reads_back(index: int, gateway: str) -> None:
    seen = inet.parse_route(inet.add_default_route(index, gateway).body)
    assert seen is not None
    assert seen.default
    assert (seen.index, seen.subnet) == (index, "::/0" if ":" in gateway else "0.0.0.0/0")
    assert same(seen.gateway, gateway)


@given(INDICES, ADDRESSES)
def test_the_route_to_an_addresss_network_reads_back(index: int, interface: str) -> None:
    seen = inet.parse_route(inet.add_subnet_route(Address(index, interface)).body)
    assert seen is not None
    assert same(seen.subnet, str(ip_interface(interface).network))
    assert (seen.index, seen.gateway, seen.default) == (index, "", False)


def test_only_ipv6_addresses_are_used_unasked() -> None:
    flags = [inet.add_address(Address(1, interface)).body[2] for interface in ("10.0.0.1/8", "fd00::1/64")]
    assert flags == [0, 0x02], "IFA_F_NODAD"


@pytest.mark.parametrize(("family", "table"), [(socket.AF_INET, 255), (socket.AF_INET6, 255), (17, 254)])
def test_routes_to_the_hosts_own_addresses_and_of_other_families_are_none(family: int, table: int) -> None:
    assert inet.parse_route(struct.pack("=BBBBBBBBI", family, 0, 0, 0, table, 3, 0, 1, 0)) is None


@pytest.mark.root
def test_the_kernel_takes_them_and_shows_them(namespace: None) -> None:
    ip("link", "add", "one", "up", "type", "veth", "peer", "name", "two")
    ip("link", "set", "two", "up")
    with Netlink() as kernel:
        index = socket.if_nametoindex("one")
        wanted = [Address(index, "10.1.2.3/16"), Address(index, "fd00::7/64")]
        kernel.change(*map(inet.add_address, wanted))
        kernel.change(*(inet.add_default_route(index, gateway) for gateway in ("10.1.0.1", "fd00::1")))
        seen = [inet.parse_address(body) for body in kernel.dump(inet.GETADDR, inet.ALL_ADDRESSES)]
        assert {entry for entry in seen if "fe80" not in entry.interface and entry.index == index} == set(wanted)
        bodies = [*kernel.dump(inet.GETROUTE, inet.ALL_ROUTES), *kernel.dump(inet.GETROUTE, inet.ALL_ROUTES6)]
        routes = {inet.parse_route(body) for body in bodies}
        expected = {("10.1.0.0/16", ""), ("fd00::/64", ""), ("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd00::1")}
        assert {Route(index, *words) for words in expected} <= routes
        kernel.change(*map(inet.delete_address, wanted))
    assert "10.1.2.3" not in ip("addr")
