"""The specs directory as users, editors, scripts and attackers leave it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import SpecError
from reconciler.sources import directory as module
from reconciler.sources.directory import Directory, is_spec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "specs"
    made.mkdir()
    return made


def shown(root: Path) -> dict[str, str]:
    """What a fresh look finds: text or error, by path."""
    listing = Directory(root).read()
    assert listing.unavailable == ""
    return {path: str(text) if isinstance(text, SpecError) else text.decode() for path, text in listing.texts.items()}


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.toml", "a b.yaml", "A.toml", "a.b.yaml", "-rf.yaml"])
def test_specs(name: str) -> None:
    assert is_spec(name)


@pytest.mark.parametrize(
    "name",
    [
        "4913", ".a.yaml", ".a.yaml.swp", "a.yaml~", "#a.yaml#", ".#a.yaml", ".goutputstream-ABC",
        "a.yaml.tmp", "a.yaml.bak",
        "a.yaml.orig", "a.json", "a", ".env", "a.env", "a.YAML.dpkg-new", ".yaml", "schema.json", "a.yaml.swp",
    ],
)  # fmt: skip
def test_what_editors_leave_is_no_spec(name: str) -> None:
    assert not is_spec(name)


def test_files_and_folders(root: Path) -> None:
    specs = ("a.yaml", "b.toml", "c/compose.yaml", "d/compose.toml", "e/docker-compose.yaml")
    for path in (*specs, "f/other.yaml", "g/h/compose.yaml", ".git/compose.yaml"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    assert shown(root) == {path: path for path in specs}


def test_one_spec_per_folder_as_in_compose(root: Path) -> None:
    (root / "a").mkdir()
    for name in ("docker-compose.yaml", "compose.yml", "compose.yaml"):
        (root / "a" / name).write_text(name)
    assert shown(root) == {"a/compose.yaml": "compose.yaml"}


def test_empty_is_empty_and_doubtful_where_no_spec_was_ever_seen(root: Path) -> None:
    found = Directory(root).read()
    assert (found.texts, found.unavailable) == ({}, "")
    assert found.doubtful.startswith(f"the specs directory '{root}' holds no specs, and none were seen in it")


def test_empty_is_meant_where_specs_were_seen_to_go(root: Path) -> None:
    directory = Directory(root)
    (root / "a.yaml").write_text("a")
    assert not directory.read().doubtful
    (root / "a.yaml").unlink()
    assert directory.read() == module.Listing()


def test_another_empty_directory_in_its_place_is_doubtful(root: Path) -> None:
    directory = Directory(root)
    (root / "a.yaml").write_text("a")
    directory.read()
    root.rename(root.with_name("old"))
    root.mkdir()
    assert directory.read().doubtful
    (root / "a.yaml").write_text("a")
    assert not directory.read().doubtful


def test_a_directory_that_was_away_and_comes_back_empty_is_doubtful(root: Path) -> None:
    directory = Directory(root)
    (root / "a.yaml").write_text("a")
    directory.read()
    root.rename(root.with_name("old"))
    assert directory.read().unavailable
    root.with_name("old").rename(root)
    (root / "a.yaml").unlink()
    assert directory.read().doubtful


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 << 30)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_fifo, "it is not a regular file"),
        (_socket, "it is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
        (lambda path: path.mkdir(), "it is not a regular file"),
        (_huge, "it is larger than 1048576 bytes"),
        (lambda path: path.write_bytes(b"x" * ((1 << 20) + 1)), "it is larger than 1048576 bytes"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "a link leads nowhere"),
    ],
    ids=["fifo", "socket", "device", "folder", "sparse", "large", "loop", "dangling"],
)
def test_what_is_no_file_is_one_line_and_never_blocks(root: Path, make: Callable[[Path], None], why: str) -> None:
    make(root / "a.yaml")
    (root / "b.yaml").write_text("good")
    assert shown(root) == {"a.yaml": f"a.yaml:1:1: cannot read the file: {why}", "b.yaml": "good"}


def test_what_is_no_spec_disturbs_nobody(root: Path) -> None:
    (root / "a.yaml").write_text("good")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "file").symlink_to("a.yaml")
    os.mkfifo(root / "fifo")
    _socket(root / "socket")
    assert shown(root) == {"a.yaml": "good"}


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "compose.yaml").write_text("x")
    (root / "a.yaml").symlink_to("../elsewhere/compose.yaml")
    (root / "b").symlink_to("../elsewhere")
    assert shown(root) == {"a.yaml": "x", "b/compose.yaml": "x"}


def test_a_folder_whose_link_breaks_is_an_error_and_not_gone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "compose.yaml").write_text("x")
    (root / "b").symlink_to("../mount")
    directory = Directory(root)
    assert list(directory.read().texts) == ["b/compose.yaml"]
    (tmp_path / "mount").rename(tmp_path / "unmounted")
    assert (
        str(directory.read().texts["b/compose.yaml"])
        == "b/compose.yaml:1:1: cannot read the file: a link leads nowhere"
    )


def test_a_vanished_file_is_gone(root: Path) -> None:
    (root / "a.yaml").write_text("x")
    directory = Directory(root)
    assert list(directory.read().texts) == ["a.yaml"]
    (root / "a.yaml").unlink()
    assert directory.read().texts == {}


def test_a_file_that_vanishes_while_it_is_read_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.yaml").write_text("x")
    (root / "b.yaml").write_text("x")
    original = Directory._text  # the moment between listing and reading has no other door

    def text(self: Directory, path: str, folder: int) -> bytes | SpecError | None:
        (root / "b.yaml").unlink(missing_ok=True)
        return original(self, path, folder)

    monkeypatch.setattr(Directory, "_text", text)
    assert list(Directory(root).read().texts) == ["a.yaml"]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text("x"), "Not a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_a_root_that_cannot_be_read_says_why(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    root = tmp_path / "specs"
    make(root)
    assert Directory(root).read() == module.Listing({}, f"cannot read the specs directory '{root}': {why}")


def test_a_root_that_is_removed_and_comes_back(root: Path) -> None:
    (root / "a.yaml").write_text("one")
    directory = Directory(root)
    directory.read()
    shutil.rmtree(root)
    assert directory.read().unavailable
    root.mkdir()
    (root / "a.yaml").write_text("two")
    assert directory.read().texts == {"a.yaml": b"two"}


def test_a_root_that_is_swapped_while_it_is_read_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.yaml").write_text("old")
    new = root.with_name("new")
    new.mkdir()
    (new / "b.yaml").write_text("new")
    original = Directory._text

    def text(self: Directory, path: str, folder: int) -> bytes | SpecError | None:
        if new.exists():
            root.rename(root.with_name("old"))
            new.rename(root)
        return original(self, path, folder)

    monkeypatch.setattr(Directory, "_text", text)
    assert Directory(root).read() == module.Listing({"b.yaml": b"new"}, "")


def test_a_root_that_is_a_link_to_another_version(root: Path, tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(version)
    link = tmp_path / "current"
    link.symlink_to("one")
    directory = Directory(link)
    assert directory.read().texts == {"a.yaml": b"one"}
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(link)
    assert directory.read().texts == {"a.yaml": b"two"}
