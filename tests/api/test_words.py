"""Times, addresses, commands and references in a form that strict clients take."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.docker import words
from reconciler.api.docker.filters import label
from reconciler.api.question import Question, RefusalError
from reconciler.core.status import Snapshot

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


@given(st.none() | st.floats() | st.integers())
def test_any_time_is_rfc_3339(seconds: float | None) -> None:
    assert RFC_3339.fullmatch(words.timestamp(seconds))


@given(st.floats(1, 4e9))
def test_a_time_survives_being_written_and_read(seconds: float) -> None:
    assert words.parse_timestamp(words.timestamp(seconds)) == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23", "2026-11-23T16:50:06", "9999-99-99T00:00:00Z"])
def test_a_time_without_a_meaning_is_the_beginning(text: str) -> None:
    assert words.parse_timestamp(text) == 0


@pytest.mark.parametrize(
    ("subnet", "expected"),
    [
        ("10.192.3.1/24", ("10.192.3.1", 24, "10.192.3.0/24")),
        ("fd00::1/64", ("fd00::1", 64, "fd00::/64")),
        ("10.192.3.1/99", ("", 0, "")),
        ("", ("", 0, "")),
    ],
)
def test_gateways(subnet: str, expected: tuple[str, int, str]) -> None:
    assert words.gateway(subnet) == expected


@pytest.mark.parametrize(
    ("text", "shown"), [("", "0.0.0.0"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("junk", "0.0.0.0")]
)
def test_host_addresses(text: str, shown: str) -> None:
    assert words.host_address(text) == shown


@pytest.mark.parametrize(
    ("command", "shown"),
    [((), ""), (("sh", "-c", "x"), "sh"), (("sh -c secret",), "sh"), (("",), ""), ((" ", "x"), "")],
)
def test_only_the_first_word_of_a_command_is_shown(command: tuple[str, ...], shown: str) -> None:
    assert words.program(command) == shown


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("docker.io/library/redis:7", "redis:7"),
        ("docker.io/grafana/loki:3", "grafana/loki:3"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
        ("oci:/srv/image:1", "oci:/srv/image:1"),
    ],
)
def test_references_are_written_as_people_write_them(reference: str, shown: str) -> None:
    assert words.familiar(reference) == shown


@pytest.mark.parametrize(
    ("wanted", "fits"), [("a", True), ("a=1", True), ("a=", False), ("e=", True), ("b", False), ("a=1=2", False)]
)
def test_labels(wanted: str, fits: bool) -> None:
    assert label({"a": "1", "e": ""}, wanted) is fits


def asked(**query: str) -> Question:
    return Question(snapshot=Snapshot(at=0), now=0, query=query)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", False),
        ("0", False),
        ("no", False),
        ("False", False),
        ("NONE", False),
        ("1", True),
        ("true", True),
        ("x", True),
    ],
)
def test_yes_and_no_as_docker_reads_them(text: str, said: bool) -> None:
    assert asked(all=text).flag("all") is said
    assert not asked().flag("all")


@given(st.text())
def test_a_number_is_finite_or_refused(text: str) -> None:
    try:
        number = asked(n=text).number("n")
    except RefusalError as refusal:
        number = float(refusal.status == 400)
    assert number is None or abs(number) < 1e15
