"""What specs mean together is worked out when they, or who runs, are others than before, and not at every look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from reconciler.core.document import Document
from reconciler.core.model import Desired
from reconciler.core.names import EVERYTHING, SPECS
from reconciler.core.resolve import resolve
from reconciler.errors import SpecError
from tests.daemon.test_loop import BLOG, SHOP, Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine that parses nothing twice, as sources do."""
    machine = Machine()
    monkeypatch.setattr(machine, "read", cache(machine.read))
    yield machine
    machine.queue.close()


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """Who ran when it was worked out."""
    found: list[frozenset[str]] = []

    def counted(documents: Mapping[str, Document | SpecError], established: frozenset[str], *rest: Any) -> Desired:
        found.append(established)
        return resolve(documents, established, *rest)

    monkeypatch.setattr("reconciler.daemon.loop.resolve", counted)
    return found


def test_what_no_spec_changed_stays_the_same_object(machine: Machine) -> None:
    """Looks compare containers with those of which a digest is known, again and again."""
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    machine.loop.look(frozenset({SPECS}))
    before = machine.loop.desired
    machine.loop.look(frozenset({SPECS}))
    assert machine.loop.desired is before
    machine.texts = {"shop.yaml": SHOP, "blog.yaml": BLOG}
    machine.settle()
    assert machine.loop.desired.containers.keys() > before.containers.keys()
    assert all(machine.loop.desired.containers[name] is same for name, same in before.containers.items())


def test_the_same_specs_are_not_resolved_again(machine: Machine, resolved: list[frozenset[str]]) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    machine.loop.look(frozenset({SPECS}))
    assert resolved == [set(), {"shop"}], "who runs already keeps what it has"
    for names in ({SPECS}, {EVERYTHING}):
        machine.loop.look(frozenset(names))
    assert len(resolved) == 2


def test_another_spec_and_a_directory_that_cannot_be_read_are_noticed(
    machine: Machine, resolved: list[frozenset[str]]
) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    machine.texts["blog.yaml"] = BLOG
    machine.settle()
    assert "blog-blog-1" in machine.running
    count = len(resolved)
    machine.unavailable = "cannot read specs"
    machine.loop.look(frozenset({SPECS}))
    assert machine.loop.desired.unavailable == "cannot read specs"
    assert len(resolved) == count + 1
