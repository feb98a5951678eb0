"""Real files, real inotify: what must ring rings, also after the directory itself was replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent

from reconciler.daemon.watch import Watch


class Bell:
    """Counts rings, and can wait for one."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def rings_for(self, act: Callable[[], object]) -> bool:
        self._rung.clear()
        act()
        return self._rung.wait(10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "etc" / "specs"
    root.mkdir(parents=True)
    return root


@pytest.fixture
def bell(root: Path) -> Iterator[Bell]:
    bell = Bell()
    watch = Watch(root, bell.ring)
    watch.start()
    yield bell
    watch.stop()


def test_a_written_file_rings(bell: Bell, root: Path) -> None:
    assert bell.rings_for(lambda: (root / "a.toml").write_text("x"))
    assert bell.rings_for(lambda: (root / "a.toml").write_text("y"))


def test_a_file_renamed_into_place_rings(bell: Bell, root: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("x")
    assert bell.rings_for(lambda: (tmp_path / "new").rename(root / "a.toml"))


def test_a_removed_file_and_a_new_folder_ring(bell: Bell, root: Path) -> None:
    assert bell.rings_for(lambda: (root / "a.toml").write_text("x"))
    assert bell.rings_for((root / "a.toml").unlink)
    assert bell.rings_for((root / "app").mkdir)
    assert bell.rings_for(lambda: (root / "app" / "compose.yaml").write_text("x"))


def test_reading_does_not_ring(root: Path) -> None:
    """Events come in order: when the last write has rung, whatever the reading caused would have come before."""
    (root / "a.toml").write_text("x")
    arrived: list[FileSystemEvent] = []
    last = threading.Event()

    class Recording(Watch):
        def _inside(self, event: FileSystemEvent) -> None:
            arrived.append(event)
            if "last" in str(event.src_path):
                last.set()

    watch = Recording(root, lambda: None)
    watch.start()
    try:
        (root / "a.toml").read_text()
        list(root.iterdir())
        (root / "last.toml").write_text("x")
        assert last.wait(10)
        assert [event for event in arrived if "last" not in str(event.src_path)] == []
    finally:
        watch.stop()


def test_a_removed_and_recreated_directory_rings_again(bell: Bell, root: Path) -> None:
    assert bell.rings_for(root.rmdir)
    assert bell.rings_for(root.mkdir)
    assert bell.rings_for(lambda: (root / "a.toml").write_text("x"))


def test_a_directory_recreated_before_its_removal_is_heard_of_rings_again(root: Path) -> None:
    """The new one may have the inode of the old one, to which nobody listens any more."""
    bell, recreated, heard = Bell(), threading.Event(), threading.Event()

    class Late(Watch):
        def _around(self, event: FileSystemEvent) -> None:
            assert recreated.wait(10)
            super()._around(event)
            if "beside" in str(event.src_path):
                heard.set()

    watch = Late(root, bell.ring)
    watch.start()
    try:
        root.rmdir()
        root.mkdir()
        (root.parent / "beside").mkdir()
        recreated.set()
        assert heard.wait(10)
        assert bell.rings_for(lambda: (root / "a.toml").write_text("x"))
    finally:
        watch.stop()


def test_a_directory_swapped_by_rename_rings_again(bell: Bell, root: Path) -> None:
    other = root.parent / "other"
    other.mkdir()
    assert bell.rings_for(lambda: (root.rename(root.parent / "old"), other.rename(root)))
    assert bell.rings_for(lambda: (root / "a.toml").write_text("x"))


def test_a_directory_swapped_by_symbolic_link_rings(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
    root = tmp_path / "specs"
    root.symlink_to("v1")
    bell = Bell()
    watch = Watch(root, bell.ring)
    watch.start()
    try:
        (tmp_path / "next").symlink_to("v2")
        assert bell.rings_for(lambda: (tmp_path / "next").rename(root))
        assert bell.rings_for(lambda: (tmp_path / "v2" / "a.toml").write_text("x"))
    finally:
        watch.stop()


def test_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    root = tmp_path / "later" / "specs"
    bell = Bell()
    watch = Watch(root, bell.ring)
    watch.start()
    try:
        assert bell.rings_for(lambda: root.mkdir(parents=True))
        assert bell.rings_for(lambda: (root / "a.toml").write_text("x"))
    finally:
        watch.stop()
