"""A file is read when it changed, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.sources import files as module
from reconciler.sources.files import Files

LATER = 10_000_000_000


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    original = module._read  # counting what the kernel is asked

    def read(path: str, folder: int | None) -> bytes:
        seen.append(path)
        return original(path, folder)

    monkeypatch.setattr(module, "_read", read)
    return seen


def settled(path: Path) -> Files:
    """As if the file had been written long ago."""
    return Files(clock=lambda: path.stat().st_ctime_ns + LATER)


def test_an_unchanged_file_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    files = settled(path)
    first = files.read(str(path))
    assert files.read(str(path)) is first
    assert len(reads) == 1


def test_a_file_that_was_just_written_is_not_trusted_yet(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    files = Files(clock=lambda: path.stat().st_ctime_ns)
    first = files.read(str(path))
    assert files.read(str(path)) is first, "the same bytes are the same object, so nobody parses them again"
    assert len(reads) == 2


def test_same_size_and_time_of_modification_but_other_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    files = settled(path)
    files.read(str(path))
    before = path.stat()
    path.write_bytes(b"y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files.read(str(path)) == b"y"


def test_a_touched_file_gives_the_same_object(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    files = settled(path)
    first = files.read(str(path))
    os.utime(path, ns=(5, 5))
    assert files.read(str(path)) is first


def test_forgotten_files_are_read_again(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    files = settled(path)
    files.read(str(path))
    files.keep([])
    files.read(str(path))
    assert len(reads) == 2


def test_peek_says_nothing_where_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Files().read(str(tmp_path / "a"))
    with pytest.raises(ValueError, match="it is not a regular file"):
        Files().read(str(tmp_path))
    assert Files().peek(str(tmp_path / "a")) is None
    assert Files().peek(str(tmp_path)) is None
    assert Files().peek("\0") is None
