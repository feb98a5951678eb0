"""Ports of the host: where two meet, and which one is taken when several will do."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.document import AUTOMATIC, Place, PortMapping
from reconciler.core.expand import App
from reconciler.core.hostports import HostPorts, meet, shown
from reconciler.core.model import Desired
from tests.core.documents import published, resolved, service, spec


def among(first: int, last: int, host_ip: str = "") -> PortMapping:
    return PortMapping(target=80, published=(first, last), host_ip=host_ip, at=Place(5, 9))


def ports(desired: Desired, container: str) -> list[int]:
    return [port.published for port in desired.containers[container].ports]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("", "", True),
        ("", "127.0.0.1", True),
        ("", "::", True),
        ("0.0.0.0", "10.0.0.1", True),
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "::", False),
        ("0.0.0.0", "2001:db8::1", False),
        ("::", "2001:db8::1", True),
        ("::", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("2001:db8::1", "2001:db8::1", True),
    ],
)
def test_where_two_addresses_meet(one: str, other: str, together: bool) -> None:
    assert meet(one, other) == meet(other, one) == together


def test_one_of_each_family_may_have_the_same_port() -> None:
    both = (published(80, "0.0.0.0"), published(80, "::"))
    assert resolved(spec("a.yaml", service(ports=both))).held == {}
    desired = resolved(spec("a.yaml", service(ports=both)), spec("b.yaml", service(ports=(published(80, "::2"),))))
    assert desired.held["b"] == (
        "b.yaml:5:9: cannot use host port [::2]:80/tcp for app 'b' (b.yaml): app 'a' (a.yaml) has it"
    )


def test_the_same_port_twice_in_one_app_is_told_so() -> None:
    desired = resolved(spec("a.yaml", service(ports=(published(80), published(80, "127.0.0.1")))))
    assert desired.held["a"] == (
        "a.yaml:5:9: cannot use host port 127.0.0.1:80/tcp for app 'a' (a.yaml): this app has it twice"
    )


def test_of_a_range_the_lowest_free_one_is_taken() -> None:
    ranged = spec("a.yaml", service(ports=(among(8000, 8010), among(8000, 8010))))
    assert ports(resolved(ranged), "a-web-1") == [8000, 8001]
    beside = resolved(ranged, spec("b.yaml", service(ports=(published(8000), published(8002)))))
    assert beside.held == {}
    assert ports(beside, "a-web-1") == [8001, 8003]


def test_who_can_do_with_fewer_chooses_first() -> None:
    desired = resolved(
        spec("a.yaml", service(ports=(among(8000, 8010),))), spec("b.yaml", service(ports=(among(8000, 8001),)))
    )
    assert (ports(desired, "a-web-1"), ports(desired, "b-web-1")) == ([8001], [8000])


def test_when_none_of_a_range_is_left_the_app_is_held_and_takes_nothing() -> None:
    desired = resolved(
        spec("a.yaml", service(ports=(among(8000, 8001),))),
        spec("b.yaml", service(ports=(published(8000),))),
        spec("c.yaml", service(ports=(among(8000, 8001), published(9000)))),
        spec("d.yaml", service(ports=(published(9000),)), name="d"),
    )
    why = (
        "c.yaml:5:9: cannot use any of the host ports *:8000-8001/tcp for app 'c' (c.yaml): "
        "app 'a' (a.yaml) and app 'b' (b.yaml) have them all"
    )
    assert desired.held == {"c.yaml": why, "c": why}
    assert ports(desired, "d-web-1") == [9000]


def test_an_established_app_keeps_its_place_in_a_range() -> None:
    documents = [spec(f"{name}.yaml", service(ports=(among(8000, 8000 + (name == "b")),))) for name in "ab"]
    assert resolved(*documents, established=frozenset({"b"})).held == {}
    narrow = [spec(f"{name}.yaml", service(ports=(among(8000, 8000), among(9000, 9000)))) for name in "ab"]
    assert set(resolved(*narrow, established=frozenset({"b"})).held) == {"a.yaml", "a"}


def test_what_is_published_says_who_may_connect() -> None:
    mapping = replace(published(80), allow=("10.0.0.0/8",))
    (port,) = resolved(spec("a.yaml", service(ports=(mapping,)))).containers["a-web-1"].ports
    assert port.allow == ("10.0.0.0/8",)


def test_thousands_that_find_nothing_take_no_square_time() -> None:
    many = tuple(among(*AUTOMATIC) for _ in range(10_000))
    documents = [spec(f"{name}.yaml", service(ports=many)) for name in "abc"]
    assert "cannot use any of the host ports *:32768-60999/tcp" in resolved(*documents).held["c"]


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        (published(80), "*:80/tcp"),
        (published(80, "10.0.0.1"), "10.0.0.1:80/tcp"),
        (among(80, 90, "::"), "[::]:80-90/tcp"),
        (replace(published(53), protocol="udp"), "*:53/udp"),
    ],
)
def test_shown(mapping: PortMapping, text: str) -> None:
    assert shown(mapping) == text


MAPPINGS = st.builds(
    PortMapping,
    target=st.just(80),
    published=st.sampled_from([AUTOMATIC, (80, 80), (80, 82), (81, 83), (90, 90)]),
    protocol=st.sampled_from(["tcp", "udp"]),
    host_ip=st.sampled_from(["", "0.0.0.0", "::", "127.0.0.1", "::2"]),
)


@given(st.lists(st.lists(MAPPINGS, max_size=4), max_size=4))
def test_no_two_ever_get_the_same_and_each_gets_what_it_asks_for(wanted: list[list[PortMapping]]) -> None:
    documents = [spec(f"a{place}.yaml", service(ports=tuple(each))) for place, each in enumerate(wanted)]
    desired = resolved(*documents)
    given_ = [port for container in desired.containers.values() for port in container.ports]
    for one, other in combinations(given_, 2):
        same = (one.protocol, one.published) == (other.protocol, other.published)
        assert not (same and meet(one.host_ip, other.host_ip))
    for place, each in enumerate(wanted):
        container = desired.containers.get(f"a{place}-web-1")
        for mapping, port in zip(each, container.ports if container else (), strict=False):
            assert mapping.published[0] <= port.published <= mapping.published[1]
        assert container is None or len(container.ports) == len(each)


@given(MAPPINGS, st.sets(st.integers(80, 83)))
def test_a_free_port_is_free(mapping: PortMapping, taken: set[int]) -> None:
    owned = HostPorts()
    for port in taken:
        owned.take(PortMapping(target=1, protocol=mapping.protocol), port, App(name="a", spec="a.yaml", at=Place()))
    found = owned.free(mapping, "seed")
    first, last = mapping.published
    assert found not in taken
    assert found == 0 or first <= found <= last
    assert (found == 0) == (set(range(first, last + 1)) <= taken)
