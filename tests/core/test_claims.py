"""Whose packets a published port would take: a table, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.claims import taken
from reconciler.core.networking import Listener, Port, Protocol

HOSTS = ["", "0.0.0.0", "::", "127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("host_ip", "address", "meet"),
    [
        ("", "", True),
        ("", "0.0.0.0", True),
        ("", "::", True),
        ("", "127.0.0.1", True),
        ("", "2001:db8::1", True),
        ("0.0.0.0", "", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::", False),
        ("0.0.0.0", "::1", False),
        ("::", "0.0.0.0", False),
        ("::", "2001:db8::1", True),
        ("127.0.0.1", "", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::", False),
        ("127.0.0.1", "192.0.2.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("2001:db8::1", "::", True),
        ("2001:db8::1", "0.0.0.0", False),
    ],
)
def test_addresses_that_meet(host_ip: str, address: str, meet: bool) -> None:
    listener = Listener(protocol="tcp", port=80, address=address, owner="nginx")
    assert taken(Port(target=8080, published=80, host_ip=host_ip), [listener]) == (listener if meet else None)


def test_another_port_or_protocol_is_free() -> None:
    listeners = [Listener(protocol="udp", port=80), Listener(protocol="tcp", port=8080)]
    assert taken(Port(target=8080, published=80), listeners) is None


def test_our_own_resolvers_are_no_obstacle() -> None:
    resolver = Listener(protocol="udp", port=53, address="10.192.3.1")
    port = Port(target=53, published=53, protocol="udp")
    assert taken(port, [resolver], ["10.192.4.0/24"]) == resolver
    assert taken(port, [resolver], ["", "fd00:3::1/64", "10.192.3.1/24"]) is None
    everywhere = Listener(protocol="udp", port=53)
    assert taken(port, [resolver, everywhere], ["10.192.3.1/24"]) == everywhere


LISTENERS = st.lists(
    st.builds(
        Listener,
        protocol=st.sampled_from(["tcp", "udp"]),
        port=st.integers(1, 3),
        address=st.sampled_from(HOSTS),
    )
)


@given(LISTENERS, st.sampled_from(HOSTS), st.integers(1, 3), st.sampled_from(["tcp", "udp"]))
def test_a_port_of_every_address_meets_whomever_one_of_an_address_does(
    listeners: list[Listener], host_ip: str, number: int, protocol: Protocol
) -> None:
    narrow = taken(Port(target=1, published=number, protocol=protocol, host_ip=host_ip), listeners)
    if narrow:
        assert taken(Port(target=1, published=number, protocol=protocol), listeners)
        assert (narrow.protocol, narrow.port) == (protocol, number)
