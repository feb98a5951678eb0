"""What is thrown away, and above all what is not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.collect import Collected
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import build_layout, digest
from tests.host.images.frame import describe
from tests.host.images.scripted import Asked, Reply, Server, one_file

pytestmark = pytest.mark.root

BASE, A, B = one_file("base"), one_file("a"), one_file("b")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture
def pulled(store: ImageStore, tmp_path: Path) -> dict[str, str]:
    """Two images that share a layer, by reference."""
    digests = {}
    for tag, layer in (("a", A), ("b", B)):
        digests[f"oci:{tmp_path}/layout:{tag}"] = build_layout(tmp_path / "layout", tag, [BASE, layer])
        store.pull(f"oci:{tmp_path}/layout:{tag}", lambda _: None)
    return digests


def names(settings: Settings) -> dict[str, int]:
    return {
        part: len(list((settings.images / part).iterdir()))
        for part in ("references", "images", "layers", "l", "blobs/sha256", "tmp")
    }


def test_what_is_needed_stays(store: ImageStore, settings: Settings, pulled: dict[str, str]) -> None:
    before = describe(settings.images)
    assert store.collect(pulled.keys(), (), 0) == Collected()
    assert store.collect((), pulled.values(), 3600) == Collected()
    assert describe(settings.images) == before
    assert store.seen().keys() == pulled.keys()


def test_what_is_young_stays(store: ImageStore, settings: Settings, pulled: dict[str, str]) -> None:
    before = describe(settings.images)
    assert store.collect((), (), 3600) == Collected()
    assert describe(settings.images) == before


def test_one_of_two_goes_and_the_shared_layer_stays(
    store: ImageStore, settings: Settings, pulled: dict[str, str]
) -> None:
    first, second = pulled
    gone = store.collect([second], (), 0)
    assert (gone.references, gone.images, gone.layers) == ((first,), 1, 1)
    assert gone.bytes > 0
    assert names(settings) == {"references": 1, "images": 1, "layers": 2, "l": 2, "blobs/sha256": 2, "tmp": 0}
    assert store.seen().keys() == {second}
    root, lower = store.lower(store.seen()[second])
    assert [sorted(describe((root / name).resolve())) for name in lower] == [["b"], ["base"]]


def test_an_image_without_a_name_stays_while_a_container_uses_it(
    store: ImageStore, settings: Settings, pulled: dict[str, str]
) -> None:
    first = next(iter(pulled))
    image = store.seen()[first]
    store.collect((), [pulled[first]], 0)
    assert not store.seen()
    assert len(store.lower(image)[1]) == 2
    assert names(settings)["layers"] == 2
    store.collect((), (), 0)
    assert names(settings) == dict.fromkeys(names(settings), 0)
    with pytest.raises(HostError, match="it is not in the store"):
        store.lower(image)


def test_what_went_can_be_pulled_again(store: ImageStore, settings: Settings, pulled: dict[str, str]) -> None:
    store.collect((), (), 0)
    for reference, wanted in pulled.items():
        store.pull(reference, lambda _: None)
        assert store.seen()[reference].digest == wanted


def test_a_damaged_record_goes(store: ImageStore, settings: Settings, pulled: dict[str, str]) -> None:
    for path in (settings.images / "images").iterdir():
        path.write_bytes(b"{")
    store.collect(pulled.keys(), (), 0)
    assert names(settings)["layers"] == 0


def test_a_pull_that_runs_loses_nothing(settings: Settings, server: Server) -> None:
    """F-038: who collects waits until the pull is over; its image is younger than the question who needs it."""
    begun = threading.Event()

    def clock() -> float:
        if threading.current_thread().name == "collector":
            begun.set()
        return time.time()

    store = ImageStore(settings, clock=clock)
    store.recover()
    layer = one_file("a", os.urandom(300_000))
    server.image([BASE, layer])
    asked, go = threading.Event(), threading.Event()

    def script(request: Asked) -> Reply | None:
        if digest(layer) in request.path:
            asked.set()
            assert go.wait(20)
        return None

    server.script = script
    reference = f"{server.host}/app:1"
    pull = threading.Thread(target=store.pull, args=(reference, lambda _: None))
    pull.start()
    assert asked.wait(20)
    collected: list[Collected] = []
    collector = threading.Thread(target=lambda: collected.append(store.collect((), (), 0)), name="collector")
    collector.start()
    assert begun.wait(20)
    go.set()
    pull.join(20)
    collector.join(20)
    assert collected == [Collected()]
    assert len(store.lower(store.seen()[reference])[1]) == 2
