"""What the scenarios start from: one network with a registry for all of them, and a fresh machine for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.machine import Machine
from tests.end_to_end.namespaces import NETWORK, Namespaces
from tests.end_to_end.registry import Registry


@pytest.fixture(scope="session")
def network() -> Iterator[Namespaces]:
    """The network in which registry and visitors are."""
    namespaces = Namespaces(NETWORK)
    yield namespaces
    namespaces.end()


@pytest.fixture(scope="session")
def registry(network: Namespaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry, filled with the images."""
    started = Registry(network, tmp_path_factory.mktemp("registry"))
    yield started
    started.stop()


@pytest.fixture
def machine(network: Namespaces, registry: Registry, tmp_path: Path) -> Iterator[Machine]:
    """A machine that was just switched on for the first time."""
    made = Machine(network, registry, tmp_path / "disk")
    yield made
    made.end()


@pytest.fixture
def host(machine: Machine) -> Host:
    """The machine as its user sees it; the daemon is not started yet."""
    return Host(machine)
