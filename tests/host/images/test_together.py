"""Many at once: one download for all who want the same (F-037), and nobody takes away what another uses (F-038)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from reconciler.errors import HostError
from reconciler.host.images.locks import Gate, Locks
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import INDEX, MANIFEST, digest
from tests.host.images.frame import describe
from tests.host.images.scripted import Asked, Reply, Server, one_file

POOL = [one_file(name, os.urandom(70_000)) for name in "abcdefgh"]
# every image has some of the pool, in its order; neighbours share
IMAGES = {str(number): POOL[number : number + 4] for number in range(5)} | {"all": POOL, "ends": [POOL[0], POOL[-1]]}


def fetched(server: Server) -> Counter[str]:
    """How often each blob was asked for."""
    return Counter(asked.path.rpartition("/")[2] for asked in server.asked if "/blobs/" in asked.path)


def pulled(store: ImageStore, references: list[str]) -> None:
    """All of them, each in a thread of its own."""
    with ThreadPoolExecutor(len(references)) as pool:
        for done in [pool.submit(store.pull, reference, lambda _: None) for reference in references]:
            done.result()


@pytest.mark.root
@pytest.mark.host
def test_images_that_share_layers_are_pulled_at_once_and_no_blob_is_fetched_twice(
    store: ImageStore, server: Server
) -> None:
    wanted = {f"{server.host}/app:{tag}": server.image(layers, tag=tag) for tag, layers in IMAGES.items()}
    pulled(store, [*wanted, *wanted])  # and each of them twice
    assert {reference: image.digest for reference, image in store.seen().items()} == wanted
    assert set(fetched(server).values()) == {1}
    assert {digest(layer) for layer in POOL} <= fetched(server).keys()


@pytest.mark.root
@pytest.mark.host
def test_tags_of_one_image_fetch_its_documents_once(store: ImageStore, server: Server) -> None:
    """Also where an index stands before it."""
    layers = [one_file()]
    manifest = server.image_manifest(layers)
    name = server.manifest(manifest, "plain")
    platform = {"os": "linux", "architecture": "amd64"}
    size = len(server.content[f"/v2/app/manifests/{name}"].body)
    entry = {"mediaType": MANIFEST, "digest": name, "size": size, "platform": platform}
    for tag in ("a", "b", "c"):
        server.manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, tag, INDEX)
    server.asked.clear()
    pulled(store, [f"{server.host}/app:{tag}" for tag in ("a", "b", "c")])
    assert set(fetched(server).values()) == {1}
    assert len(server.paths(f"manifests/{name}")) == 1


@pytest.mark.root
@pytest.mark.host
def test_who_waited_for_one_that_failed_fetches_it_itself(store: ImageStore, server: Server) -> None:
    """F-037: a pull that ends early takes nobody along."""
    shared, broken = one_file("a", os.urandom(300_000)), one_file("b")
    server.image([shared, broken], tag="bad")
    wanted = server.image([shared], tag="good")
    server.content[f"/v2/app/blobs/{digest(broken)}"] = Reply(b"nothing of the kind")
    asked, go = threading.Event(), threading.Event()

    def script(request: Asked) -> Reply | None:
        if digest(shared) in request.path and not asked.is_set():
            asked.set()
            go.wait(20)
            return Reply(status=404)
        return None

    server.script = script
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(store.pull, f"{server.host}/app:bad", lambda _: None)
        assert asked.wait(20)
        good = pool.submit(store.pull, f"{server.host}/app:good", lambda _: None)
        go.set()
        with pytest.raises(HostError):
            bad.result()
        good.result()
    assert store.seen()[f"{server.host}/app:good"].digest == wanted
    assert list((store._disk.root / "tmp").iterdir()) == []


def again_and_again(work: Callable[[int], object], over: threading.Event, troubles: list[object]) -> None:
    number = 0
    while not over.is_set() and not troubles:
        number += 1
        try:
            work(number)
        except HostError as error:
            if "another process looks at it" not in str(error):
                troubles.append(error)


@pytest.mark.root
@pytest.mark.host
def test_pulling_verifying_and_collecting_race_and_what_is_named_is_whole(
    store: ImageStore, settings: Settings, server: Server
) -> None:
    """Threads that pull, look and throw away, and the verb `verify` as a process beside them."""
    references = [f"{server.host}/app:{tag}" for tag in IMAGES]
    for tag, layers in IMAGES.items():
        server.image(layers, tag=tag)
    pulled(store, references)
    over, troubles = threading.Event(), list[object]()
    works: list[Callable[[int], object]] = [
        lambda number: store.pull(references[number % 7], lambda _: None),
        lambda number: store.pull(references[-number % 7], lambda _: None),
        lambda number: store.collect(references[: number % 7], (), -1),
        lambda _: troubles.extend(store.verify()),
    ]
    threads = [threading.Thread(target=again_and_again, args=(work, over, troubles)) for work in works]
    for thread in threads:
        thread.start()
    argv = [sys.executable, "-m", "reconciler", "verify", "--json", "--state", str(settings.state)]
    beside = [subprocess.run(argv, capture_output=True, check=False) for _ in range(3)]
    over.set()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert [json.loads(done.stdout) for done in beside] == [{}] * 3
    pulled(store, references)
    assert store.verify() == {}
    assert list((settings.images / "tmp").iterdir()) == []
    whole = {name for name in describe(settings.images / "layers") if "/" not in name}
    for image in store.seen().values():
        assert {layer.removeprefix("sha256:") for layer in image.layers} <= {name[:64] for name in whole}


# --- locks -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=2, max_size=8))
@budget(max_examples=30, deadline=None)
def test_no_two_hold_the_same_and_none_waits_for_ever(wants: list[set[str]]) -> None:
    locks, holding = Locks(), Counter[str]()
    wrong: list[str] = []

    def hold(names: set[str]) -> None:
        with locks.hold(names):
            holding.update(names)
            wrong.extend(name for name in names if holding[name] != 1)
            holding.subtract(names)

    with ThreadPoolExecutor(len(wants)) as pool:
        list(pool.map(hold, wants))
    assert wrong == []
    assert locks._locks == {}


@contextmanager
def elsewhere(path: Path, how: str) -> Iterator[None]:
    """Another process holds the lock on `path`."""
    lock = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, getattr(fcntl, sys.argv[2]))"
    argv = [sys.executable, "-c", f"{lock}; print(flush=True); input()", str(path), how]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.communicate(b"\n")


def test_who_takes_away_does_not_wait_for_another_process(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "lock")
    with elsewhere(tmp_path / "lock", "LOCK_SH"):
        with gate.together():
            pass
        with pytest.raises(HostError, match="another process looks at it"), gate.alone(patient=False):
            pass
    with gate.alone(patient=False):
        pass


def test_the_lock_of_the_kernel_is_given_back_when_the_last_one_leaves(tmp_path: Path) -> None:
    gate, other = Gate(tmp_path / "lock"), Gate(tmp_path / "lock")  # another file description: as another process
    with gate.together(), gate.together(), pytest.raises(HostError), other.alone(patient=False):
        pass
    with other.alone(patient=False):
        pass
    with gate.alone():
        pass
