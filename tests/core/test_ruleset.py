"""The ruleset's text: a golden one, and what holds for all of them. The kernel's word on it: tests/host/network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.reach import Reach
from reconciler.core.ruleset import Bound, Bridge, Published, Restricted, Rules, datagram_limits, datagrams, render

GOLDEN = Path(__file__).parent / "golden" / "ruleset.nft"

NETWORKS = (
    Bridge(bridge="rc-aaaaaaaaaaaa", subnet="10.192.3.1/24", subnet6="fd00:3::1/64"),
    Bridge(bridge="rc-bbbbbbbbbbbb", subnet="10.192.4.1/24"),
    Bridge(bridge="rc-cccccccccccc", subnet="10.192.5.1/24", internal=True),
)
PUBLISHED = (
    Published(port=8080, targets=(("10.192.3.2", 80), ("fd00:3::2", 80))),
    Published(port=53, protocol="udp", targets=(("10.192.4.2", 5353),)),
    Published(port=5432, host_ip="127.0.0.1", targets=(("10.192.4.3", 5432),)),
    Published(port=8081, targets=(("10.192.3.10", 80), ("10.192.3.3", 80), ("10.192.3.4", 80))),
    Published(port=8443, host_ip="192.0.2.1", targets=(("10.192.3.4", 443), ("10.192.3.3", 443))),
    Published(port=8022, targets=(("10.192.3.4", 22), ("fd00:3::4", 22)), allow=("192.0.2.0/25", "192.0.2.128/25")),
    Published(port=8022, host_ip="127.0.0.1", targets=(("10.192.3.4", 22),), allow=("127.0.0.0/8",)),
    Published(port=8023, targets=(("10.192.3.4", 23),), allow=()),
    Published(port=9999, targets=()),
)
RULES = Rules(
    networks=NETWORKS,
    published=PUBLISHED,
    restricted=(
        Restricted(
            addresses=("10.192.3.2", "fd00:3::2"),
            destinations=(
                Reach(network="203.0.113.0/24", ports=(443, 443), protocol="tcp"),
                Reach(network="192.0.2.7"),
            ),
        ),
        Restricted(addresses=("10.192.3.3",), destinations=()),
    ),
    bound=(Bound(link="rc0123456789", addresses=("10.192.3.2", "fd00:3::2")),),
)

BRIDGES = st.lists(
    st.integers(min_value=0, max_value=200).map(
        lambda number: Bridge(
            bridge=f"rc-{number:012x}",
            subnet="" if number % 7 == 1 else f"10.192.{number}.1/24",
            subnet6=f"fd00:{number:x}::1/64" if number % 3 == 0 else "",
            internal=number % 5 == 4,
        )
    ),
    max_size=5,
).map(tuple)
ADDRESSES = st.one_of(
    st.integers(min_value=2, max_value=254).map("10.192.3.{}".format),
    st.integers(min_value=2, max_value=254).map("fd00:3::{:x}".format),
)
TARGETS = st.lists(st.tuples(ADDRESSES, st.integers(1, 65535)), max_size=10).map(tuple)
SOURCES = ["192.0.2.0/24", "192.0.2.128/25", "192.0.2.7", "10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "fd00:3::2", "::/0"]
HOSTS = ["", "0.0.0.0", "127.0.0.1", "192.0.2.7", "::", "fd00:9::1"]
PORTS = st.lists(
    st.builds(
        Published,
        port=st.one_of(st.integers(min_value=1, max_value=3), st.integers(min_value=1, max_value=65535)),
        targets=TARGETS,
        protocol=st.sampled_from(["tcp", "udp"]),
        host_ip=st.sampled_from(HOSTS),
        allow=st.none() | st.lists(st.sampled_from(SOURCES), max_size=3).map(tuple),
    ),
    max_size=8,
).map(tuple)
RANGES = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda ends: (min(ends), max(ends)))
REACHES = st.builds(
    Reach,
    network=st.sampled_from([*SOURCES, "192.0.2.8/29", "fd00:3::/64"]),
    ports=st.one_of(RANGES, st.sampled_from([(0, 65535), (443, 443), (80, 443)])),
    protocol=st.sampled_from(["tcp", "udp", ""]),
)
RESTRICTED = st.lists(
    st.builds(
        Restricted,
        addresses=st.lists(ADDRESSES, max_size=2).map(tuple),
        destinations=st.lists(REACHES, max_size=5).map(tuple),
    ),
    max_size=3,
).map(tuple)
BOUND = st.lists(
    st.builds(
        Bound,
        link=st.sampled_from(["rc0123456789", "rc-/. -x", "veth0"]),
        addresses=st.lists(ADDRESSES, max_size=2).map(tuple),
    ),
    max_size=3,
).map(tuple)
EVERYTHING = st.builds(Rules, networks=BRIDGES, published=PORTS, restricted=RESTRICTED, bound=BOUND)


def elements(text: str, name: str) -> list[str]:
    """What a set or map of the rendered tables contains."""
    block = re.search(rf"\t(?:set|map) {name} \{{\n(.*?)\n\t\}}", text, re.DOTALL)
    assert block is not None
    return [line.strip().rstrip(",") for line in re.findall(r"^\t\t\t.*$", block[1], re.MULTILINE)]


def pairs(text: str, name: str) -> dict[str, str]:
    found = [element.partition(" : ") for element in elements(text, name)]
    return {key: value for key, _, value in found}


def lookup(text: str, version: int, host: str, protocol: str, port: int) -> list[str]:
    """The targets of a packet to an address of the host, found as the chain `publish` finds them."""
    for suffix, key in (("_at", f"{host} . {protocol} . {port}"), ("", f"{protocol} . {port}")):
        chain = pairs(text, f"doors{version}{suffix}").get(key)
        if chain:
            width = int(chain.removesuffix("_at").removeprefix("goto among_"))
            replicas = pairs(text, f"replicas{version}{suffix}")
            assert f"chain among_{width}{suffix} {{" in text
            assert f"numgen random mod {width} map @replicas{version}{suffix}" in text
            return [replicas[f"{key} . {place}"] for place in range(width)]
    return []


def admits(text: str, version: int, source: str, host: str, protocol: str, port: int) -> bool:
    """Whether the chain `limiting` lets a connection pass."""
    key, at = f"{protocol} . {port}", f"{host} . {protocol} . {port}"
    verdict = pairs(text, f"limited{version}_at").get(at)
    if verdict == "return":
        return True
    if verdict is None and key not in elements(text, f"limited{version}"):
        return True
    suffix, matched = ("_at", at) if verdict else ("", key)
    entries = [entry.split(" . ", 1) for entry in elements(text, f"allowed{version}{suffix}")]
    hits = [network for network, rest in entries if rest == matched and ip_address(source) in ip_network(network)]
    assert len(hits) <= 1, "intervals do not overlap"
    return bool(hits)


def test_the_golden_ruleset() -> None:
    assert render("reconciler", RULES) == GOLDEN.read_text()


def test_an_empty_host_still_has_its_rules() -> None:
    text = render("demo", Rules())
    assert elements(text, "bridges") == []
    assert "table inet reconciler-demo {" in text
    assert "drop" in text


def test_only_our_own_tables_are_named() -> None:
    text = render("demo", RULES)
    assert set(re.findall(r"^(?:delete )?table (\S+ \S+)", text, re.MULTILINE)) == {
        "inet reconciler-demo",
        "bridge reconciler-demo",
    }
    assert "flush" not in text


def test_no_rule_names_a_priority() -> None:
    priorities = re.findall(r"priority ([^;]+);", render("demo", RULES))
    assert priorities
    assert all(re.fullmatch(r"-?\d+", priority) for priority in priorities)


def test_a_port_without_targets_is_left_to_the_host() -> None:
    assert "9999" not in render("demo", RULES)


def test_a_target_in_an_internal_network_is_left_out() -> None:
    port = Published(port=80, targets=(("10.192.5.2", 80), ("10.192.3.2", 80)))
    assert lookup(render("demo", Rules(networks=NETWORKS, published=(port,))), 4, "", "tcp", 80) == ["10.192.3.2 . 80"]


def test_a_port_given_twice_has_the_targets_of_both() -> None:
    first = Published(port=80, targets=(("10.192.3.2", 80),))
    second = Published(port=80, host_ip="0.0.0.0", targets=(("10.192.3.3", 80),))
    text = render("demo", Rules(published=(first, second)))
    assert lookup(text, 4, "", "tcp", 80) == ["10.192.3.2 . 80", "10.192.3.3 . 80"]


def test_targets_are_ordered_as_numbers() -> None:
    text = render("demo", RULES)
    assert lookup(text, 4, "", "tcp", 8081) == ["10.192.3.3 . 80", "10.192.3.4 . 80", "10.192.3.10 . 80"]


def test_the_mark_is_the_one_that_is_asked_for() -> None:
    assert set(re.findall(r"mark or (\w+)", render("demo", Rules(mark=1 << 30)))) == {"0x40000000"}


def test_a_list_of_one_address_does_not_open_the_others() -> None:
    text = render("demo", RULES)
    assert admits(text, 4, "192.0.2.200", "192.0.2.1", "tcp", 8022)
    assert not admits(text, 4, "127.0.0.1", "192.0.2.1", "tcp", 8022)
    assert admits(text, 4, "127.0.0.1", "127.0.0.1", "tcp", 8022)
    assert not admits(text, 4, "192.0.2.200", "127.0.0.1", "tcp", 8022)
    assert not admits(text, 6, "fd00:9::1", "fd00:3::1", "tcp", 8022), "no network of that version is listed"
    assert not admits(text, 4, "192.0.2.200", "192.0.2.1", "tcp", 8023)


def of(ports: Sequence[Published], version: int, host: str, protocol: str, port: int) -> list[Published]:
    """Those who publish that port of that address: of it alone, or else of every address."""
    same = [
        entry
        for entry in ports
        if (entry.protocol, entry.port) == (protocol, port)
        and any((":" in address) == (version == 6) for address, _ in entry.targets)
    ]
    return [entry for entry in same if entry.host_ip == host] or [
        entry for entry in same if entry.host_ip in {"", "0.0.0.0" if version == 4 else "::"}
    ]


@given(EVERYTHING)
def test_every_packet_finds_exactly_the_targets_that_are_wanted(rules: Rules) -> None:
    rules = Rules(networks=(), published=rules.published)
    text = render("demo", rules)
    for version, host in ((4, "127.0.0.1"), (4, "192.0.2.7"), (4, "192.0.2.8"), (6, "fd00:9::1"), (6, "fd00:9::2")):
        for protocol, port in {(entry.protocol, entry.port) for entry in rules.published}:
            behind = of(rules.published, version, host, protocol, port)
            targets = {to for entry in behind for to in entry.targets if (":" in to[0]) == (version == 6)}
            found = lookup(text, version, host, protocol, port)
            assert len(found) == len(set(found))
            assert set(found) == {f"{address} . {number}" for address, number in targets}


@given(PORTS, st.sampled_from(["192.0.2.7", "192.0.2.200", "10.1.2.3", "127.0.0.1"]))
def test_exactly_those_who_are_allowed_may_connect(ports: tuple[Published, ...], source: str) -> None:
    text = render("demo", Rules(published=ports))
    for host in ("127.0.0.1", "192.0.2.7", "192.0.2.8"):
        for protocol, port in {(entry.protocol, entry.port) for entry in ports}:
            lists = limits(ports, host, protocol, port)
            networks = [ip_network(network) for allow in lists for network in allow if ":" not in network]
            listed = any(ip_address(source) in network for network in networks)
            assert admits(text, 4, source, host, protocol, port) == (listed or not lists)


def limits(ports: Sequence[Published], host: str, protocol: str, port: int) -> list[tuple[str, ...]]:
    """The lists of all who declare that port of that address, whether somebody is ready there or not."""
    behind = {entry.host_ip for entry in of(ports, 4, host, protocol, port)}
    hosts = behind | {"", "0.0.0.0"} if behind & {"", "0.0.0.0"} else behind
    same = [entry for entry in ports if (entry.protocol, entry.port) == (protocol, port) and entry.host_ip in hosts]
    return [entry.allow for entry in same if entry.allow is not None]


@given(EVERYTHING, st.randoms(use_true_random=False))
def test_the_order_of_values_is_no_matter(rules: Rules, random: Random) -> None:
    def shuffled(values: Sequence[object]) -> tuple[object, ...]:
        return tuple(random.sample(values, len(values)))

    other = Rules(
        networks=shuffled(rules.networks),  # type: ignore[arg-type]  # what comes out is what went in
        published=shuffled(rules.published),  # type: ignore[arg-type]
        restricted=shuffled(rules.restricted),  # type: ignore[arg-type]
        bound=shuffled(rules.bound),  # type: ignore[arg-type]
    )
    assert render("demo", rules) == render("demo", other)


@given(EVERYTHING)
def test_the_rules_are_the_same_for_any_number_of_ports(rules: Rules) -> None:
    def constant(text: str) -> str:
        return text[text.index("\tchain spoofed") : text.index("\tchain among_1 ")]

    text = render("demo", rules)
    assert constant(text) == constant(render("demo", Rules()))
    assert len(elements(text, "bridges")) == len({network.bridge for network in rules.networks})


@given(EVERYTHING)
def test_no_element_is_given_twice(rules: Rules) -> None:
    text = render("demo", rules)
    for name in re.findall(r"\t(?:set|map) (\w+) \{", text):
        keys = [element.partition(" : ")[0] for element in elements(text, name)]
        assert len(keys) == len(set(keys)), name


@given(PORTS)
def test_udp_targets_are_read_back_from_the_text(ports: tuple[Published, ...]) -> None:
    expected: dict[int, set[tuple[str, int]]] = {}
    for entry in ports:
        for address, number in entry.targets if entry.protocol == "udp" else ():
            of_all = not entry.host_ip
            if of_all or (":" in entry.host_ip) == (":" in address):
                expected.setdefault(entry.port, set()).add((address, number))
    assert datagrams(render("demo", Rules(networks=NETWORKS, published=ports))) == expected


@given(PORTS, st.integers(1, 3))
def test_who_may_send_datagrams_is_read_back_from_the_text(ports: tuple[Published, ...], number: int) -> None:
    limited = [entry for entry in ports if entry.protocol == "udp" and entry.allow is not None and entry.targets]
    text = render("demo", Rules(published=ports))
    assert datagram_limits(text).keys() <= {entry.port for entry in limited}
    port = Published(port=number, protocol="udp", targets=(("10.192.3.2", 53),), allow=("192.0.2.0/24",))
    wider = replace(port, allow=("192.0.2.0/23",))
    limits = [datagram_limits(render("demo", Rules(published=(entry,)))) for entry in (port, wider)]
    assert limits[0].keys() == limits[1].keys() == {number}
    assert limits[0] != limits[1]
    assert datagram_limits(render("demo", Rules(published=(replace(port, allow=None),)))) == {}
