"""What is visible, and when: the commit protocol, what a start cleans up, who waits for whom."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.progress import Progress
from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, build_layout, digest, folder, packed, plain, put, tar
from tests.host.images.frame import describe
from tests.host.images.scripted import Asked, Reply, Server, one_file

pytestmark = pytest.mark.root


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


def layout(tmp_path: Path, *layers: bytes) -> str:
    build_layout(tmp_path / "layout", "1", layers)
    return f"oci:{tmp_path}/layout:1"


def test_a_start_removes_what_was_not_finished_and_mends_what_is(
    store: ImageStore, settings: Settings, tmp_path: Path
) -> None:
    reference = layout(tmp_path, one_file("a"), one_file("b"))
    store.pull(reference, lambda _: None)
    whole = describe(settings.images)
    half = settings.images / "tmp" / "half"
    (half / "diff" / "deep").mkdir(parents=True)
    (half / "diff" / "deep" / "file").touch()
    (settings.images / "tmp" / "file").touch()
    (settings.images / "layers" / "norecord" / "diff").mkdir(parents=True)
    for link in (settings.images / "l").iterdir():
        link.unlink()
    again = ImageStore(settings)
    again.recover()
    assert describe(settings.images) == whole
    assert again.seen()[reference].digest == store.seen()[reference].digest


@pytest.mark.parametrize("part", ["references", "images", "blobs/sha256"])
def test_damaged_records_make_an_image_unseen_and_a_pull_mends_them(
    part: str, store: ImageStore, settings: Settings, tmp_path: Path
) -> None:
    """F-036."""
    reference = layout(tmp_path, one_file())
    store.pull(reference, lambda _: None)
    asked = store.seen()[reference].checked_at
    for text in (b"", b"{", b"[]", b"\xff" * 40):
        for path in (settings.images / part).iterdir():
            path.write_bytes(text)
        again = ImageStore(settings, clock=lambda: asked)
        again.recover()
        assert not again.seen()
        again.pull(reference, lambda _: None)
        assert again.seen() == store.seen()


def test_a_layer_that_is_gone_is_an_error_with_a_reason(store: ImageStore, settings: Settings, tmp_path: Path) -> None:
    reference = layout(tmp_path, one_file())
    store.pull(reference, lambda _: None)
    image = store.seen()[reference]
    shutil.rmtree(next((settings.images / "layers").iterdir()))
    with pytest.raises(HostError, match=r"cannot mount image .*: layer .* is missing"):
        store.lower(image)
    shutil.rmtree(settings.images / "images")
    with pytest.raises(HostError, match=r"cannot mount image .*: it is not in the store"):
        store.lower(image)


def test_the_store_is_closed_to_others(store: ImageStore, settings: Settings, tmp_path: Path) -> None:
    """H-20: layers hold setuid programs."""
    store.pull(layout(tmp_path, packed(tar(Member("su", b"x", mode=0o4755)))), lambda _: None)
    assert settings.images.stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_of_a_pull_that_fails(store: ImageStore, settings: Settings, tmp_path: Path) -> None:
    before = describe(settings.images)
    reference = layout(tmp_path, packed(tar(Member("../x", b"x"))))
    with pytest.raises(HostError, match=r"cannot unpack layer sha256:\w+ of oci:.*: entry '\.\./x': its name has \.\."):
        store.pull(reference, lambda _: None)
    assert describe(settings.images) == before


def test_layers_are_shared(store: ImageStore, settings: Settings, tmp_path: Path) -> None:
    base = one_file("base")
    store.pull(layout(tmp_path / "1", base, one_file("a")), lambda _: None)
    store.pull(layout(tmp_path / "2", base, one_file("b")), lambda _: None)
    assert len(list((settings.images / "layers").iterdir())) == 3


def test_an_old_image_stays_mountable_when_its_tag_has_moved(store: ImageStore, tmp_path: Path) -> None:
    reference = layout(tmp_path, one_file("a"))
    store.pull(reference, lambda _: None)
    old = store.seen()[reference]
    layout(tmp_path, one_file("b"))
    store.pull(reference, lambda _: None)
    assert store.seen()[reference].digest != old.digest
    root, (lower,) = store.lower(old)
    assert list(describe((root / lower).resolve())) == ["a"]


def test_progress_ends_at_the_total(store: ImageStore, server: Server) -> None:
    layers = [one_file("a", os.urandom(900_000)), one_file("b", os.urandom(400_000))]
    server.image(layers)
    reports: list[Progress] = []
    store.pull(f"{server.host}/app:1", reports.append)
    total = sum(map(len, layers))
    *coming, last = reports
    assert (last.reference, last.done, last.total, last.over) == (f"{server.host}/app:1", total, total, True)
    assert not any(report.over for report in coming)
    assert {report.total for report in reports} == {total}
    assert [(layer.digest, layer.done, layer.size) for layer in last.layers] == [
        (digest(layer), len(layer), len(layer)) for layer in layers
    ]
    assert all(report.done == sum(layer.done for layer in report.layers) for report in reports)
    assert [report.done for report in reports] == sorted(report.done for report in reports)


def test_a_pull_that_fails_says_its_last_word_and_one_that_has_nothing_to_do_says_none(
    store: ImageStore, server: Server
) -> None:
    layers = [one_file("a"), one_file("b", os.urandom(400_000))]
    server.image(layers)
    whole = server.content[f"/v2/app/blobs/{digest(layers[1])}"]
    server.content[f"/v2/app/blobs/{digest(layers[1])}"] = Reply(b"something else")
    reports: list[Progress] = []
    with pytest.raises(HostError):
        store.pull(f"{server.host}/app:1", reports.append)
    assert [report.over for report in reports].count(True) == 1
    assert reports[-1].over
    assert reports[-1].done < reports[-1].total
    server.content[f"/v2/app/blobs/{digest(layers[1])}"] = whole
    store.pull(f"{server.host}/app:1", lambda _: None)
    reports.clear()
    store.pull(f"{server.host}/app:1", reports.append)
    assert reports == []


def test_what_came_from_a_mirror_that_failed_is_not_counted_twice(
    settings: Settings, server: Server, other: Server
) -> None:
    layer = one_file("a", os.urandom(900_000))
    server.image([layer])
    other.image([layer])
    other.content[f"/v2/app/blobs/{digest(layer)}"] = Reply(layer[:-9] + b"different")
    store = ImageStore(replace(settings, registry_mirrors=(f"{server.host}=http://{other.host}",)))
    store.recover()
    reports: list[Progress] = []
    store.pull(f"{server.host}/app:1", reports.append)
    assert (reports[-1].done, reports[-1].total) == (len(layer), len(layer))
    assert max(report.done for report in reports[:-1]) <= len(layer)


def test_two_pulls_of_one_layer_fetch_it_once(store: ImageStore, server: Server) -> None:
    """F-037: the second waits for the first."""
    shared = one_file("shared", os.urandom(400_000))
    server.image([shared, one_file("a")], tag="1")
    server.image([shared, one_file("b")], tag="2")
    asked_twice = threading.Event()

    def script(asked: Asked) -> Reply | None:
        if digest(shared) in asked.path:
            asked_twice.wait(0.3)  # so that the other pull comes to its layers meanwhile
        return None

    server.script = script
    pulls = [threading.Thread(target=store.pull, args=(f"{server.host}/app:{tag}", lambda _: None)) for tag in (1, 2)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join(30)
    assert len(store.seen()) == 2
    assert len(server.paths(digest(shared))) == 1


def test_a_reference_that_is_none(store: ImageStore) -> None:
    for reference in ("Not An Image", "oci:relative", "oci:/a:b c", ""):
        with pytest.raises(HostError, match="cannot "):
            store.pull(reference, lambda _: None)


# --- layouts ------------------------------------------------------------------------------------------------------


def test_a_layout_whose_blob_was_changed_is_refused(store: ImageStore, tmp_path: Path) -> None:
    layer = one_file()
    reference = layout(tmp_path, layer)
    blob = tmp_path / "layout" / "blobs" / "sha256" / digest(layer).removeprefix("sha256:")
    blob.write_bytes(layer[:-1] + b"?")
    with pytest.raises(HostError, match="cannot unpack layer"):
        store.pull(reference, lambda _: None)
    for path in blob.parent.iterdir():
        path.write_bytes(b"{}")
    with pytest.raises(HostError, match="has another content"):
        store.pull(reference, lambda _: None)


def test_a_layout_that_is_not_there(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot read image oci:.*: .*index\.json: No such file or directory"):
        store.pull(f"oci:{tmp_path}/none", lambda _: None)


def test_a_fifo_in_a_layout_does_not_hang(store: ImageStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(HostError, match=r"index\.json: it is not a file"):
        store.pull(f"oci:{tmp_path}", lambda _: None)


def test_tags_of_a_layout(store: ImageStore, tmp_path: Path) -> None:
    first = build_layout(tmp_path, "1", [one_file("a")])
    store.pull(f"oci:{tmp_path}", lambda _: None)
    assert store.seen()[f"oci:{tmp_path}"].digest == first
    latest = build_layout(tmp_path, "latest", [one_file("b")])
    store.pull(f"oci:{tmp_path}", lambda _: None)
    assert store.seen()[f"oci:{tmp_path}"].digest == latest
    with pytest.raises(HostError, match="the layout has 0 images for '3'; there is 1, latest"):
        store.pull(f"oci:{tmp_path}:3", lambda _: None)


def test_an_image_with_a_folder_as_blob(store: ImageStore, tmp_path: Path) -> None:
    reference = layout(tmp_path, one_file())
    for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        path.unlink()
        path.mkdir()
    with pytest.raises(HostError, match="cannot "):
        store.pull(reference, lambda _: None)


def test_a_big_layout_document_is_refused(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(HostError, match="has more than 4194304 bytes"):
        store.pull(f"oci:{tmp_path}", lambda _: None)


def test_what_is_put_twice_is_one(tmp_path: Path) -> None:
    assert put(tmp_path, b"x") == put(tmp_path, b"x")
    assert folder("a").kind == b"5"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", None])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_layer_whose_record_a_disk_damaged_is_fetched_again(
    text: bytes | None, restarted: bool, settings: Settings, server: Server
) -> None:
    """And what runs from it keeps it: it only moves away."""
    layer = one_file("a")
    server.image([layer, one_file("b")])
    reference = f"{server.host}/app:1"
    ImageStore(settings).recover()
    ImageStore(settings).pull(reference, lambda _: None)
    (record,) = (settings.images / "layers").glob(f"{digest(plain(layer))[7:]}*/record")
    record.unlink() if text is None else record.write_bytes(text)
    store = ImageStore(settings)
    if restarted:
        store.recover()
    assert store.seen() == {}
    store.pull(reference, lambda _: None)
    assert reference in store.seen()
    assert len(server.paths(digest(layer))) == 2
    if restarted:  # nothing runs here, so nobody needs it
        assert list((settings.images / "damaged").iterdir()) == []
        return
    (aside,) = (settings.images / "damaged").iterdir()
    assert sorted(path.name for path in aside.iterdir()) == sorted(
        {"diff", "list"} | ({"record"} if text is not None else set())
    )
