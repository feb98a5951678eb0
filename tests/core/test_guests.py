"""Containers in a network that another app declares: they follow what its owner says of it, and nothing else."""

from __future__ import annotations

import pytest

from reconciler.core.document import Document
from reconciler.core.model import Running, SeenContainer
from reconciler.core.plan import plan
from reconciler.core.resolve import resolve
from reconciler.core.scene import Policy
from reconciler.daemon.execute import execute
from reconciler.errors import Problem, SpecError
from tests.fakes import FakeHost
from tests.spec.parsing import document

OWNER = "services: {web: {image: a, networks: [net]}}\nnetworks: {net: {name: all, %s}}\n"
GUEST = document(
    "services: {web: {image: a, networks: [net]}}\nnetworks: {net: {name: all, external: true}}\n", "b.yaml"
)
PLAIN = "ipam: {config: [{subnet: 10.5.0.0/24}]}"
BROKEN = SpecError(Problem("a.yaml", 1, 1, "cannot read YAML: no"))


def owner(declaration: str) -> Document:
    return document(OWNER % declaration, "a.yaml")


def converge(host: FakeHost, **specs: Document | SpecError) -> str:
    """Everything that is planned until nothing is, as text."""
    desired = resolve({f"{name}.yaml": spec for name, spec in specs.items()}, frozenset(), apps={"a.yaml": "a"})
    shown: list[str] = []
    for _ in range(40):
        found = plan(desired, host.observe(), host.now, Policy())
        shown.append(str(found))
        if not found.tasks and all(wait.until is None for wait in found.waits):
            return "\n".join(shown)
        for task in found.tasks:
            error = execute(task, host.ports(), lambda _: None)
            assert not error, error
        host.now += 5
    raise AssertionError("\n".join(shown))


def guest(host: FakeHost) -> SeenContainer:
    (found,) = (seen for seen in host.observe().containers.values() if seen.name == "b-web-1")
    assert isinstance(found.state, Running)
    return found


def test_a_guest_waits_until_somebody_declares_the_network() -> None:
    host = FakeHost()
    assert "container:b-web-1: waits for network all, which no spec declares" in converge(host, b=GUEST)
    converge(host, a=owner(PLAIN), b=GUEST)
    assert guest(host).address.startswith("10.5.0.")


@pytest.mark.parametrize(
    ("declaration", "moves"),
    [
        ("ipam: {config: [{subnet: 10.6.0.0/24}]}", True),
        (f"{PLAIN}, enable_ipv6: true", True),
        (f"{PLAIN}, internal: true", False),
        (f"{PLAIN}, labels: [a]", False),
        ("ipam: {config: [{subnet: 10.5.0.0/24, ip_range: 10.5.0.128/25}]}", False),
    ],
)
def test_a_guest_is_made_anew_when_the_network_is_another_one(declaration: str, moves: bool) -> None:
    host = FakeHost()
    converge(host, a=owner(PLAIN), b=GUEST)
    before = guest(host)
    shown = converge(host, a=owner(declaration), b=GUEST)
    after = guest(host)
    assert (after.id != before.id) == moves
    assert ("network all is declared otherwise now" in shown) == moves
    assert after.address.startswith("10.6.0." if "10.6" in declaration else "10.5.0.")


def test_a_guest_stays_as_it_is_while_the_spec_of_the_owner_is_broken_and_when_it_is_gone() -> None:
    host = FakeHost()
    converge(host, a=owner(PLAIN), b=GUEST)
    before = guest(host)
    converge(host, a=BROKEN, b=GUEST)
    assert guest(host) == before
    converge(host, b=GUEST)
    assert guest(host) == before
    assert "all" in host.observe().networks
