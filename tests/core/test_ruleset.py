"""The ruleset's text: one golden table, and what holds for all of them. The kernel's word on it: tests/host/network."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.ruleset import Published, datagrams, render

GOLDEN = Path(__file__).parent / "golden" / "ruleset.nft"

NETWORKS = [("rc-aaaaaaaaaaaa", "10.192.3.1/24"), ("rc-bbbbbbbbbbbb", "10.192.4.1/24")]
PUBLISHED = [
    Published(port=8080, targets=(("10.192.3.2", 80),)),
    Published(port=53, protocol="udp", targets=(("10.192.4.2", 5353),)),
    Published(port=5432, host_ip="127.0.0.1", targets=(("10.192.4.3", 5432),)),
    Published(port=8081, targets=(("10.192.3.10", 80), ("10.192.3.3", 80), ("10.192.3.4", 80))),
    Published(port=8443, host_ip="192.0.2.1", targets=(("10.192.3.4", 443), ("10.192.3.3", 443))),
    Published(port=9999, targets=()),
]

BRIDGES = st.lists(
    st.integers(min_value=0, max_value=200).map(lambda number: (f"rc-{number:012x}", f"10.192.{number}.1/24")),
    max_size=5,
)
TARGETS = st.lists(
    st.tuples(st.integers(min_value=2, max_value=254).map("10.192.3.{}".format), st.integers(1, 65535)),
    max_size=4,
).map(tuple)
PORTS = st.lists(
    st.builds(
        Published,
        port=st.integers(min_value=1, max_value=65535),
        targets=TARGETS,
        protocol=st.sampled_from(["tcp", "udp"]),
        host_ip=st.sampled_from(["", "0.0.0.0", "127.0.0.1", "192.0.2.7"]),
    ),
    max_size=8,
)


def elements(text: str, name: str) -> list[str]:
    """What a set or map of the rendered table contains."""
    block = re.search(rf"\t(?:set|map) {name} \{{\n(.*?)\n\t\}}", text, re.DOTALL)
    assert block is not None
    return [line.strip().rstrip(",") for line in re.findall(r"^\t\t\t.*$", block[1], re.MULTILINE)]


def lookup(text: str, host: str, protocol: str, port: int) -> list[str]:
    """The targets of a packet to an address of the host, found as the chain `publish` finds them."""
    for suffix, key in (("_at", f"{host} . {protocol} . {port}"), ("", f"{protocol} . {port}")):
        for element in elements(text, "balanced" + suffix):
            match, _, verdict = element.partition(" : goto ")
            if match == key:
                rule = re.search(rf"chain {verdict} \{{\n(.*?)\n\t\}}", text, re.DOTALL)
                assert rule is not None
                return re.findall(r"\d+ : (\S+ \. \d+)", rule[1])
        for element in elements(text, "single" + suffix):
            match, _, target = element.partition(" : ")
            if match == key:
                return [target]
    return []


def test_the_golden_table() -> None:
    assert render("reconciler", NETWORKS, PUBLISHED) == GOLDEN.read_text()


def test_an_empty_host_still_has_its_rules() -> None:
    text = render("demo", [], [])
    assert elements(text, "bridges") == []
    assert "table inet reconciler-demo {" in text
    assert "drop" in text


def test_only_our_own_table_is_named() -> None:
    text = render("demo", NETWORKS, PUBLISHED)
    assert set(re.findall(r"table (\S+ \S+)", text)) == {"inet reconciler-demo"}
    assert "flush" not in text


def test_no_rule_names_a_priority() -> None:
    priorities = re.findall(r"priority ([^;]+);", render("demo", NETWORKS, PUBLISHED))
    assert priorities
    assert all(re.fullmatch(r"-?\d+", priority) for priority in priorities)


def test_a_port_without_targets_is_left_to_the_host() -> None:
    assert "9999" not in render("demo", NETWORKS, PUBLISHED)


def test_a_port_given_twice_has_the_targets_of_both() -> None:
    first = Published(port=80, targets=(("10.192.3.2", 80),))
    second = Published(port=80, host_ip="0.0.0.0", targets=(("10.192.3.3", 80),))
    assert lookup(render("demo", [], [first, second]), "", "tcp", 80) == ["10.192.3.2 . 80", "10.192.3.3 . 80"]


def test_targets_are_ordered_as_numbers() -> None:
    text = render("demo", NETWORKS, PUBLISHED)
    assert lookup(text, "", "tcp", 8081) == ["10.192.3.3 . 80", "10.192.3.4 . 80", "10.192.3.10 . 80"]


@given(BRIDGES, PORTS)
def test_every_packet_finds_exactly_the_targets_that_are_wanted(
    networks: list[tuple[str, str]], ports: list[Published]
) -> None:
    text = render("demo", networks, ports)
    for host, protocol, port in {(entry.host_ip, entry.protocol, entry.port) for entry in ports}:
        same = [entry for entry in ports if (entry.protocol, entry.port) == (protocol, port)]
        wide = {target for entry in same if entry.host_ip in {"", "0.0.0.0"} for target in entry.targets}
        narrow = {target for entry in same if entry.host_ip == host for target in entry.targets}
        expected = wide if host in {"", "0.0.0.0"} or not narrow else narrow
        assert set(lookup(text, host, protocol, port)) == {f"{address} . {number}" for address, number in expected}


@given(BRIDGES, PORTS, st.randoms(use_true_random=False))
def test_the_order_of_values_is_no_matter(
    networks: list[tuple[str, str]], ports: list[Published], random: Random
) -> None:
    shuffled_networks, shuffled_ports = networks[:], ports[:]
    random.shuffle(shuffled_networks)
    random.shuffle(shuffled_ports)
    assert render("demo", networks, ports) == render("demo", shuffled_networks, shuffled_ports)


@given(BRIDGES, PORTS)
def test_the_rules_are_the_same_for_any_number_of_ports(
    networks: list[tuple[str, str]], ports: list[Published]
) -> None:
    def rules(text: str) -> str:
        return text[text.index("\tchain spoofed") : text.index("\tchain masquerading")]

    assert rules(render("demo", networks, ports)) == rules(render("demo", [], []))
    assert len(elements(render("demo", networks, ports), "bridges")) == len(set(networks))


@given(PORTS)
def test_udp_targets_are_read_back_from_the_text(ports: list[Published]) -> None:
    expected: dict[int, set[tuple[str, int]]] = {}
    for entry in ports:
        if entry.protocol == "udp" and entry.targets:
            expected.setdefault(entry.port, set()).update(entry.targets)
    assert datagrams(render("demo", NETWORKS, ports)) == expected
