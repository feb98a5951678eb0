"""A store in a temporary directory, and a real registry on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.host.images.overlay import Limits
from reconciler.host.images.store import ImageStore
from reconciler.host.images.unpacker import Unpacker
from reconciler.settings import Settings
from tests.host.images.frame import Frame
from tests.host.images.pulling import Pull
from tests.host.images.registries import running_registry
from tests.host.images.scripted import Server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state")


@pytest.fixture
def store(settings: Settings) -> ImageStore:
    made = ImageStore(settings, sleep=lambda _: None)
    made.recover()
    return made


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """host:port of an empty docker-registry that speaks plain HTTP."""
    with running_registry(tmp_path / "registry") as host:
        yield host


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Server]:
    """Another host, as far as credentials are concerned: another port."""
    with Server().running() as made:
        yield made


@pytest.fixture
def pull(tmp_path: Path) -> Pull:
    return Pull(tmp_path / "state")


@pytest.fixture(scope="module")
def unpacker() -> Iterator[Unpacker]:
    with Unpacker("test", Limits(entries=3000, implied=1000, size=64 << 20, ratio=100, ratio_from=8 << 20)) as made:
        yield made


@pytest.fixture
def frame(unpacker: Unpacker, tmp_path: Path) -> Frame:
    made = Frame(tmp_path / "frame", unpacker)
    made.prepare()
    return made
