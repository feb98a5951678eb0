"""A store in a temporary directory, and a real registry on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.registries import running_registry


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
