"""The three files below /etc: what Docker's users find there, for every way to be on a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import etc
from reconciler.core.etc import HostFiles, ResolvConf
from reconciler.core.networking import Joint, Network
from tests.core.worlds import container, endpoint

FRONT = Network(name="shop_front", app="shop", spec="shop.yaml")
BACK = Network(name="shop_back", app="shop", spec="shop.yaml", internal=True)
HOST = HostFiles(
    hosts="127.0.0.1 localhost\n192.0.2.9 nas",
    resolv_conf="# by hand\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch corp.example\noptions timeout:1\n",
)
JOINT = Joint(
    endpoints=(
        endpoint(FRONT, "10.1.0.2/24", ipv6="fd00:1::2/64"),
        endpoint(BACK, "10.2.0.2/24", gateway4=""),
    ),
    nameservers=("10.1.0.254",),
)


def own_lines(text: str) -> list[str]:
    """What is said beside the loopback."""
    return [line for line in text.splitlines() if not line.startswith(("127.", "::1", "fe00", "ff0"))]


# --- hosts and hostname ------------------------------------------------------------------------------------------


def test_own_addresses_have_the_full_and_the_short_name() -> None:
    plain = etc.texts(container(hostname="web"), JOINT, HOST)
    assert plain["hostname"] == "web\n"
    assert "127.0.0.1\tlocalhost\n::1\tlocalhost " in plain["hosts"]
    assert own_lines(plain["hosts"]) == ["10.1.0.2\tweb", "fd00:1::2\tweb", "10.2.0.2\tweb"]
    in_domain = etc.hosts(container(hostname="web", domainname="shop.example"), JOINT)
    assert own_lines(in_domain)[0] == "10.1.0.2\tweb.shop.example web"
    dotted = etc.hosts(container(hostname="web.shop.example"), JOINT)
    assert own_lines(dotted)[0] == "10.1.0.2\tweb.shop.example web"


def test_without_a_network_there_is_only_the_loopback() -> None:
    assert own_lines(etc.hosts(container(hostname="web", networks=()), Joint())) == []


def test_extra_hosts_come_with_what_they_mean() -> None:
    wanted = container(
        hostname="web", extra_hosts=(("db", "192.0.2.7"), ("host", "host-gateway"), ("v6", "2001:db8::1"))
    )
    assert own_lines(etc.hosts(wanted, JOINT))[:3] == ["192.0.2.7\tdb", "10.1.0.1\thost", "2001:db8::1\tv6"]


def test_the_host_is_reached_where_the_way_out_is_else_where_names_are_asked() -> None:
    wanted = container(hostname="web", extra_hosts=(("host", "host-gateway"),))
    inside = endpoint(BACK, "10.2.0.2/24", gateway4="")
    second = Joint(endpoints=(inside, endpoint(FRONT, "10.1.0.2/24")), nameservers=("10.2.0.254",))
    assert own_lines(etc.hosts(wanted, second))[0] == "10.1.0.1\thost"
    only_inside = Joint(endpoints=(inside,), nameservers=("10.2.0.1",))
    assert own_lines(etc.hosts(wanted, only_inside))[0] == "10.2.0.1\thost"
    assert own_lines(etc.hosts(wanted, Joint())) == []


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_hostname_can_add_a_line(hostname: str, domainname: str) -> None:
    text = etc.hosts(container(hostname=hostname, domainname=domainname), JOINT)
    assert len(own_lines(text)) in (0, 3)
    assert all(line.split("\t")[0] in ("10.1.0.2", "fd00:1::2", "10.2.0.2") for line in own_lines(text))


def test_in_the_host_s_network_the_files_are_the_host_s() -> None:
    wanted = container(hostname="machine", host_network=True, extra_hosts=(("me", "host-gateway"), ("db", "192.0.2.7")))
    assert etc.texts(wanted, Joint(), HOST) == {
        "hostname": "machine\n",
        "hosts": "127.0.0.1 localhost\n192.0.2.9 nas\n127.0.0.1\tme\n192.0.2.7\tdb\n",
        "resolv.conf": HOST.resolv_conf,
    }


# --- resolv.conf -------------------------------------------------------------------------------------------------


def test_a_container_asks_its_resolver_with_the_host_s_search_domains() -> None:
    text = etc.resolv_conf(container(), JOINT, HOST)
    assert text == "nameserver 10.1.0.254\nsearch corp.example\noptions timeout:1 ndots:0\n"


def test_a_service_says_search_and_options_itself() -> None:
    wanted = container(dns_search=("a.example", "b.example"), dns_opt=("ndots:2", "rotate"), dns=("192.0.2.1",))
    text = etc.resolv_conf(wanted, JOINT, HOST)
    assert text == "nameserver 10.1.0.254\nsearch a.example b.example\noptions ndots:2 rotate\n"


def test_a_dot_is_no_search_domain() -> None:
    assert "search" not in etc.resolv_conf(container(dns_search=(".",)), JOINT, HOST)


@pytest.mark.parametrize(
    ("dns", "resolv_conf", "resolved", "servers"),
    [
        ((), "nameserver 192.0.2.53\n", "", ["192.0.2.53"]),
        (("192.0.2.1", "192.0.2.2"), "nameserver 192.0.2.53\n", "", ["192.0.2.1", "192.0.2.2"]),
        ((), "nameserver 127.0.0.53\n", "nameserver 192.0.2.60\n", ["192.0.2.60"]),
        ((), "nameserver 127.0.0.53\nnameserver 192.0.2.53\n", "nameserver 192.0.2.60\n", ["192.0.2.53"]),
        ((), "nameserver ::1\n", "", []),
        ((), "", "", []),
    ],
)
def test_without_a_resolver_of_ours_servers_are_those_that_can_be_reached(
    dns: tuple[str, ...], resolv_conf: str, resolved: str, servers: list[str]
) -> None:
    text = etc.resolv_conf(container(dns=dns), Joint(), HostFiles("", resolv_conf, resolved))
    assert text == "".join(f"nameserver {server}\n" for server in servers)


def test_the_last_search_counts_and_comments_do_not() -> None:
    text = (
        "search a.example\n; nameserver 1\n# search x\ndomain b.example c.example\nnameserver\noptions\nsortlist 1\n\n"
    )
    assert etc.parse_resolv_conf(text) == ResolvConf((), ("b.example", "c.example"), ())


@given(st.text())
def test_any_host_file_is_read(text: str) -> None:
    etc.resolv_conf(container(), JOINT, HostFiles(text, text, text))
