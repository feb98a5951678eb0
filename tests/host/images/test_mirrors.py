"""A mirror that fails is passed over, told of, left alone for a while, and forgiven when it serves again (R-46)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.core.changes import news
from reconciler.core.model import Observed
from reconciler.core.status import Snapshot, project
from reconciler.errors import HostError
from reconciler.host.images.mirrors import AWAY, Mirrors, NotHereError
from reconciler.host.images.store import ImageStore
from reconciler.host.inspect import mirrors
from reconciler.settings import Settings
from tests.host.images.builder import digest
from tests.host.images.scripted import Asked, Reply, Server, one_file


@dataclass
class Known:
    """A place that answers as a test says."""

    mirror: str
    answer: str | HostError
    asked: int = 0

    def ask(self) -> str:
        self.asked += 1
        if isinstance(self.answer, HostError):
            raise self.answer
        return self.answer


def test_the_first_good_one_answers_and_the_failed_one_is_told() -> None:
    known = Mirrors(lambda: 0.0)
    dead, good, itself = Known("dead", HostError("cannot a: b")), Known("good", "x"), Known("", "y")
    assert known.first([dead, good, itself], Known.ask) == "x"
    assert known.failures() == {"dead": "cannot a: b"}
    assert itself.asked == 0


def test_one_that_failed_is_left_alone_for_a_while_and_then_forgiven() -> None:
    now = 100.0
    known = Mirrors(lambda: now)
    mirror, itself = Known("m", HostError("cannot")), Known("", "y")
    for _ in range(5):
        assert known.first([mirror, itself], Known.ask) == "y"
    assert (mirror.asked, itself.asked) == (1, 5)
    now += AWAY
    mirror.answer = "x"
    assert known.first([mirror, itself], Known.ask) == "x"
    assert known.failures() == {}


def test_what_was_asked_before_it_failed_forgives_nothing() -> None:
    now = 100.0
    known = Mirrors(lambda: now)
    mirror, itself = Known("m", HostError("cannot")), Known("", "y")

    def slow(place: Known) -> str:
        nonlocal now
        if place is mirror:
            now += 1.0
            known.first([mirror, itself], Known.ask)  # meanwhile another layer fails
            now += 1.0
        return "x"

    assert known.first([mirror, itself], slow) == "x"
    assert known.failures() == {"m": "cannot"}


def test_one_that_has_it_not_is_no_failure() -> None:
    known = Mirrors(lambda: 0.0)
    mirror = Known("m", NotHereError("cannot"))
    for _ in range(2):
        assert known.first([mirror, Known("", "y")], Known.ask) == "y"
    assert mirror.asked == 2
    assert known.failures() == {}


def test_when_all_fail_the_registry_itself_has_the_word() -> None:
    with pytest.raises(HostError, match="itself"):
        Mirrors().first([Known("m", HostError("mirror")), Known("", HostError("itself"))], Known.ask)


# --- over the wire ---------------------------------------------------------------------------------------------------

LAYERS = [one_file("a"), one_file("b"), one_file("c")]


def damaged(asked: Asked) -> Reply | None:
    return Reply(LAYERS[1].swapcase()) if digest(LAYERS[1]) in asked.path else None


@pytest.mark.root
@pytest.mark.host
@pytest.mark.parametrize(
    ("script", "why"),
    [
        (lambda _: Reply(b"oh", 500), "answered 500 Internal Server Error: oh"),
        (lambda _: Reply(b"who", 403), "answered 403 Forbidden: who"),
        (lambda _: Reply(b"<html>"), "cannot use image"),
        (damaged, f"cannot unpack layer {digest(LAYERS[1])[:19]}"),
    ],
    ids=["500", "403", "a page", "a damaged blob"],
)
def test_what_was_wrong_is_in_the_status_and_in_the_log(
    script: Callable[[Asked], Reply | None], why: str, server: Server, other: Server, settings: Settings
) -> None:
    wanted = server.image(LAYERS)
    other.image(LAYERS)
    other.script = lambda asked: None if asked.path == "/v2/" else script(asked)
    store = ImageStore(
        Settings(state=settings.state, registry_mirrors=(f"{server.host}=http://{other.host}",)), sleep=lambda _: None
    )
    store.recover()
    store.pull(f"{server.host}/app:1", lambda _: None)
    assert store.seen()[f"{server.host}/app:1"].digest == wanted
    assert why in store.mirrors()[other.host]
    after = Snapshot(at=2.0, generation=2, observed=Observed(mirrors=store.mirrors()))
    (trouble,) = project(after).troubles
    assert (trouble.key, trouble.message) == (f"mirror:{other.host}", store.mirrors()[other.host])
    before = Snapshot(at=1.0, generation=1)
    assert [line for line in news(before, after) if "mirror" in line] == [
        f"mirror:{other.host}: passed over: {store.mirrors()[other.host]}"
    ]
    assert [line for line in news(after, before) if "mirror" in line] == [f"mirror:{other.host}: it serves again"]


@pytest.mark.root
@pytest.mark.host
def test_a_dead_mirror_is_waited_for_once_and_not_for_every_layer(
    server: Server, other: Server, settings: Settings
) -> None:
    server.image(LAYERS)
    slept: list[float] = []
    mirrored = (f"{server.host}=http://127.0.0.1:1",)
    store = ImageStore(Settings(state=settings.state, registry_mirrors=mirrored), sleep=slept.append)
    store.recover()
    store.pull(f"{server.host}/app:1", lambda _: None)
    assert len(slept) == 1
    assert "Connection refused" in store.mirrors()["127.0.0.1:1"]


def test_doctor_asks_every_mirror(server: Server, other: Server, tmp_path: Path) -> None:
    other.script = lambda _: Reply(b"", 502)
    for name, text in (("r.example", f'[host."http://{other.host}"]'), ("broken.example", "[")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hosts.toml").write_text(text)
    found = mirrors(
        Settings(registry_mirrors=(f"docker.io=http://{server.host}", "a.example=127.0.0.1:1"), registry_hosts=tmp_path)
    )
    assert found[server.host] == ""
    assert found[other.host] == "it answers 502"
    assert "Connection refused" in found["127.0.0.1:1"]
    assert "it is not TOML" in found["broken.example"]
