"""What a tag names now: asked by HEAD, pulled only when it moved, kept when nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.model import SeenImage
from reconciler.core.trust import Decision
from reconciler.errors import HostError
from reconciler.host.images.names import Named, read_named
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import INDEX, MANIFEST, Member, build_layout, digest
from tests.host.images.registries import push
from tests.host.images.scripted import Asked, Reply, Server, one_file

pytestmark = pytest.mark.root


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(settings: Settings, clock: Clock) -> ImageStore:
    made = ImageStore(settings, sleep=lambda _: None, clock=clock)
    made.recover()
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


def with_digests(server: Server) -> None:
    """The server tells digests in a header, as real ones do."""
    for path, reply in list(server.content.items()):
        if "/manifests/" in path:
            headers = {**reply.headers, "Docker-Content-Digest": digest(reply.body)}
            server.content[path] = replace(reply, headers=headers)


def quiet(store: ImageStore, reference: str, platform: str = "") -> None:
    store.check(reference, lambda _: None, platform)


def pulled(store: ImageStore, server: Server) -> SeenImage:
    reference = f"{server.host}/app:1"
    server.image([one_file("a")])
    with_digests(server)
    store.pull(reference, lambda _: None)
    server.asked.clear()
    return store.seen()[reference]


def test_an_unchanged_tag_costs_one_head(timed: ImageStore, server: Server, clock: Clock, settings: Settings) -> None:
    image = pulled(timed, server)
    assert (image.checked_at, image.named) == (100.0, image.digest)
    clock.now = 200.0
    quiet(timed, image.reference)
    assert [(asked.method, asked.path) for asked in server.asked] == [("HEAD", "/v2/app/manifests/1")]
    assert timed.seen() == {image.reference: replace(image, checked_at=200.0)}
    assert ImageStore(settings).seen() == timed.seen()


def test_a_moved_tag_is_pulled(timed: ImageStore, server: Server, clock: Clock) -> None:
    image = pulled(timed, server)
    second = server.image([one_file("a"), one_file("b")])
    with_digests(server)
    clock.now = 200.0
    quiet(timed, image.reference)
    found = timed.seen()[image.reference]
    assert (found.digest, found.checked_at) == (second, 200.0)


@pytest.mark.parametrize("status", [404, 405, 501, 200])
def test_where_head_tells_nothing_get_does(status: int, timed: ImageStore, server: Server) -> None:
    image = pulled(timed, server)
    server.script = lambda asked: Reply(status=status) if asked.method == "HEAD" else None
    quiet(timed, image.reference)
    assert [asked.method for asked in server.asked] == ["HEAD", "GET"]
    assert timed.seen()[image.reference].digest == image.digest


def test_an_unreachable_registry_leaves_the_image_and_the_time_of_the_try(
    timed: ImageStore, server: Server, clock: Clock, settings: Settings
) -> None:
    image = pulled(timed, server)
    server.script = lambda _: Reply(status=503)
    clock.now = 200.0
    with pytest.raises(HostError, match=r"cannot pull .*/app:1: .* answered 503"):
        quiet(timed, image.reference)
    assert timed.seen()[image.reference] == replace(image, tried_at=200.0)
    assert ImageStore(settings).seen()[image.reference] == image
    assert len(server.asked) == 1, "the queue tries again, not the adapter"


def test_a_pull_that_breaks_leaves_the_old_image(timed: ImageStore, server: Server) -> None:
    image = pulled(timed, server)
    server.image([one_file("b")])
    with_digests(server)

    def blobs_are_gone(asked: Asked) -> Reply | None:
        return Reply(status=404) if "/blobs/" in asked.path else None

    server.script = blobs_are_gone
    with pytest.raises(HostError):
        quiet(timed, image.reference)
    assert timed.seen()[image.reference].digest == image.digest


def test_an_index_that_moves_without_our_image_moves_nothing(timed: ImageStore, server: Server) -> None:
    reference = f"{server.host}/app:1"
    ours = server.image_manifest([one_file("a")])
    text = server.manifest(ours, "amd64")

    def index(note: str) -> dict[str, object]:
        platform = {"os": "linux", "architecture": "amd64"}
        size = len(server.content[f"/v2/app/manifests/{text}"].body)
        entry = {"mediaType": MANIFEST, "digest": text, "size": size, "platform": platform}
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry], "annotations": {"note": note}}

    first = server.manifest(index("one"), kind=INDEX)
    timed.pull(reference, lambda _: None)
    assert (timed.seen()[reference].named, timed.seen()[reference].digest) == (first, text)
    second = server.manifest(index("two"), kind=INDEX)
    quiet(timed, reference)
    assert (timed.seen()[reference].named, timed.seen()[reference].digest) == (second, text)


def test_a_platform_is_kept_apart(timed: ImageStore, server: Server, settings: Settings) -> None:
    reference = f"{server.host}/app:1"
    server.manifest(server.image_manifest([one_file("arm")], architecture="arm64"))
    timed.pull(reference, lambda _: None, "linux/arm64")
    with pytest.raises(HostError, match=r"the image is for linux/arm64"):
        timed.pull(reference, lambda _: None)
    (key,) = timed.seen()
    assert key == f"{reference} (linux/arm64)"
    assert timed.seen()[key].platform == "linux/arm64"
    assert ImageStore(settings).seen() == timed.seen()
    quiet(timed, reference, "linux/arm64")
    assert set(timed.seen()) == {key}


def test_a_record_of_an_older_release_is_read() -> None:
    assert read_named({"reference": "a", "digest": "b"}) == Named(reference="a", digest="b")
    assert read_named({"reference": 5, "checked_at": "x"}) == Named(reference="", digest="")
    signed = Decision("signed", "id", "digest")
    whole = Named(reference="a", digest="b", platform="linux/arm", named="c", checked_at=5.5, trust=signed)
    assert read_named(whole.record()) == whole


@pytest.mark.host
def test_a_real_registry_and_a_tag_that_moves(timed: ImageStore, tmp_path: Path, registry: str) -> None:
    reference = f"{registry}/some/app:1"
    first = build_layout(tmp_path / "one", "1", [[Member("file", b"one")]])
    push(tmp_path / "one", "1", reference)
    timed.pull(reference, lambda _: None)
    quiet(timed, reference)
    assert timed.seen()[reference].digest == first
    second = build_layout(tmp_path / "two", "1", [[Member("file", b"two")]])
    push(tmp_path / "two", "1", reference)
    quiet(timed, reference)
    assert timed.seen()[reference].digest == second == timed.current_digest(reference)
