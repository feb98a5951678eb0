"""A second version of an image costs what is new in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.host.images.unpacker import Unpacked, Unpacker
from tests.host.images.builder import Member, digest, folder, packed, tar
from tests.host.images.pulling import Pull
from tests.host.images.scripted import Server

pytestmark = pytest.mark.root

BASE = [packed(tar(folder(f"part{number}"), Member(f"part{number}/a", b"%d" % number))) for number in range(5)]
NEW = packed(tar(folder("srv"), Member("srv/new", b"new")))
Stamp = tuple[int, int, int]


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of the layers that went to the confined child."""
    seen: list[str] = []
    unpack = Unpacker.unpack

    def spy(self: Unpacker, *given: object) -> Unpacked:
        seen.append(given[0].digest)  # type: ignore[attr-defined]  # a Descriptor
        return unpack(self, *given)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(Unpacker, "unpack", spy)
    return seen


def stamps(state: Path) -> dict[str, Stamp]:
    """Every file of every layer: inode, change and modification."""
    layers = state / "images" / "layers"
    found = {path: path.lstat() for path in layers.rglob("*")}
    return {str(path.relative_to(layers)): (at.st_ino, at.st_ctime_ns, at.st_mtime_ns) for path, at in found.items()}


def blobs(server: Server, layers: Sequence[bytes]) -> list[bytes]:
    """Which of `layers` were asked for."""
    return [layer for layer in layers if server.paths(digest(layer))]


@pytest.mark.parametrize("position", [0, 2, 4, 5], ids=["lowest", "middle", "topmost", "added"])
def test_only_the_layer_that_differs_is_fetched_and_unpacked(
    position: int, server: Server, pull: Pull, unpacked: list[str]
) -> None:
    second = [*BASE[:position], NEW, *BASE[position + 1 :]]
    server.image(BASE, tag="1")
    server.image(second, tag="2")
    pull(f"{server.host}/app:1")
    before = stamps(pull.state)
    assert sorted(unpacked) == sorted(map(digest, BASE))

    unpacked.clear()
    server.asked.clear()
    pull(f"{server.host}/app:2")
    assert unpacked == [digest(NEW)]
    assert blobs(server, [*BASE, NEW]) == [NEW]
    after = stamps(pull.state)
    assert {name: stamp for name, stamp in after.items() if name in before} == before
    assert len({name.partition("/")[0] for name in after.keys() - before.keys()}) == 1


def test_the_first_version_again_costs_no_layer(server: Server, pull: Pull, unpacked: list[str]) -> None:
    server.image(BASE, tag="1")
    server.image(BASE, {"Cmd": ["other"]}, tag="2")
    pull(f"{server.host}/app:1")
    unpacked.clear()
    server.asked.clear()
    pull(f"{server.host}/app:2")
    assert unpacked == []
    assert blobs(server, BASE) == []
