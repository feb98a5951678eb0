"""Damage on the disk (F-036): every kind is found, named, and mended by the next pull."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.__main__ import main
from reconciler.cli import codes
from reconciler.host.images.inflate import LayerError
from reconciler.host.images.listing import parse_list
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, build_layout, folder, hardlink, packed, symlink, tar
from tests.host.images.frame import Frame, describe
from tests.host.images.test_unpack import PACKERS, TAKEN, is_tar

pytestmark = pytest.mark.root

LAYER = packed(
    tar(
        folder("d", 0o750, uid=3),
        Member("d/file", b"content" * 9000, mode=0o640, uid=3),
        hardlink("d/hard", "d/file"),
        symlink("d/link", "file"),
        Member("node", kind=b"3", device=(1, 3)),
        Member(".wh.gone"),
        Member("twice", b"1"),
        Member("twice", b"22"),
        folder("was"),
        Member("was/child", b"x"),
        Member("was", b"file now"),
    )
)


@pytest.mark.parametrize("name", sorted(name for name in TAKEN if is_tar(TAKEN[name][0])))
def test_what_was_just_unpacked_is_not_damaged(name: str, frame: Frame) -> None:
    frame.unpack(PACKERS["zstd"](TAKEN[name][0]))
    assert frame.unpacker.verify(frame.root) == ()


@pytest.fixture
def layer(store: ImageStore, tmp_path: Path) -> Path:
    """The content of the one layer of the image `1`."""
    build_layout(tmp_path / "layout", "1", [LAYER])
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    root, (lower,) = store.lower(store.seen()[f"oci:{tmp_path}/layout:1"])
    return (root / lower).resolve()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40_000] ^= 1
    path.write_bytes(content)


def become_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/x")


def become_a_file(path: Path) -> None:
    path.unlink()
    path.touch()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (lambda top: flip(top / "d" / "file"), "d/file: its content has changed"),
    "cut to nothing": (lambda top: os.truncate(top / "d" / "file", 0), "d/file: its content has changed"),
    "gone": (lambda top: (top / "twice").unlink(), "twice: it is gone"),
    "another mode": (lambda top: (top / "d" / "file").chmod(0o644), "d/file: its mode or owner has changed"),
    "another owner": (lambda top: os.chown(top / "d", 4, 0), "d: its mode or owner has changed"),
    "setuid": (lambda top: (top / "was").chmod(0o4644), "was: its mode or owner has changed"),
    "another target": (
        lambda top: become_a_link(top / "d" / "link"),
        "d/link: its content has changed",
    ),
    "another kind": (lambda top: become_a_folder(top / "twice"), "twice: it is of another kind"),
    "one more file": (lambda top: (top / "d" / "more\n").touch(), "d/more\\n: it was not there"),
    "no whiteout": (lambda top: become_a_file(top / "gone"), "gone: it is of another kind"),
    "no list": (lambda top: top.with_name("list").write_bytes(b"x\0y\0"), "its list is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_mended(
    name: str, layer: Path, store: ImageStore, settings: Settings, tmp_path: Path
) -> None:
    assert store.verify() == {}
    before = describe(layer)
    change, why = DAMAGES[name]
    change(layer)
    found = store.verify()
    assert found.keys() == {layer.parent.name}
    assert why in found[layer.parent.name]
    store.set_aside(found)
    assert not store.seen()
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    assert store.verify() == {}
    assert describe(layer) == before
    assert len(list((settings.images / "damaged").iterdir())) == 1
    ImageStore(settings).recover()
    assert list((settings.images / "damaged").iterdir()) == []


def test_damaged_documents_are_found_and_mended(
    layer: Path, store: ImageStore, settings: Settings, tmp_path: Path
) -> None:
    documents = list((settings.images / "blobs" / "sha256").iterdir())
    for path in documents:
        path.write_bytes(b"{}")
    found = store.verify()
    assert found == {path.name: ("its content has changed",) for path in documents}
    store.set_aside(found)
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    assert store.verify() == {}
    assert store.seen()


def test_a_daemon_notices_what_another_process_set_aside(layer: Path, store: ImageStore, settings: Settings) -> None:
    assert store.seen()
    (layer / "a").write_bytes(b"other content")
    beside = ImageStore(settings)
    beside.set_aside(beside.verify())
    assert not store.seen()


def test_the_verb_tells_what_is_damaged_and_then_that_nothing_is(
    layer: Path, store: ImageStore, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", "--state", str(settings.state), "--run-directory", str(tmp_path / "run")]
    assert main(words) == codes.OK
    assert capsys.readouterr().out == "the image store is whole\n"
    (layer / "a").write_bytes(b"other content")
    assert main(words) == codes.FAILURE
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{layer.parent.name}: ")
    assert told[1] == "1 damaged, set aside to be pulled again"
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    assert main(words) == codes.OK


@given(st.binary(max_size=200))
def test_any_list_is_read_or_refused(text: bytes) -> None:
    with suppress(LayerError):
        assert all(len(line) == 5 for line in parse_list(text).lines.values())


def test_what_was_taken_away_by_a_folder_that_came_back_is_not_missed(frame: Frame) -> None:
    """Found by fuzzing: a folder, something in it, a link in its place, and a folder again."""
    frame.unpack(packed(tar(folder("a"), Member("a/b", b"x"), symlink("a", "b"), folder("a"), Member("a/c", b"x"))))
    assert frame.unpacker.verify(frame.root) == ()
    (frame.root / "a" / "c").unlink()
    assert frame.unpacker.verify(frame.root) == ("a/c: it is gone",)


def test_what_is_gone_from_a_folder_that_was_only_implied_is_missed(frame: Frame) -> None:
    frame.unpack(packed(tar(Member("srv/www/page", b"x"), Member("srv/other", b"x"))))
    assert frame.unpacker.verify(frame.root) == ()
    (frame.root / "srv" / "www" / "page").unlink()
    assert frame.unpacker.verify(frame.root) == ("srv/www/page: it is gone",)


def test_a_link_that_came_back_leads_to_something_else(frame: Frame) -> None:
    """Found by fuzzing: the same name, once through a link and once in a folder that stood in its place."""
    link, file = symlink("l", "/"), Member("l/x", b"1")
    frame.unpack(packed(tar(link, file, folder("l"), Member("l/x", b"2"), link)))
    assert frame.unpacker.verify(frame.root) == ()


def test_what_came_through_a_link_that_a_folder_replaced_is_not_missed(frame: Frame) -> None:
    """Found by fuzzing."""
    frame.unpack(packed(tar(symlink("l", "/"), Member("l/x", b"1"), folder("l"))))
    assert frame.unpacker.verify(frame.root) == ()
