"""What is remembered of revisions: whole values come back, strangers' output is tamed, damage counts for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.health import CommandTest, Healthcheck, HttpTest, TcpTest, Test
from reconciler.core.model import BindMount, Container, ImageConfig, SeenImage, TmpfsMount, VolumeMount
from reconciler.core.networking import Attachment, Destination, Port
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Quarantine, UpdateConfig, Updates
from reconciler.errors import HostError
from reconciler.host.revisions import MADE_FROM, RevisionFiles, last_lines, made_from, parse_made_from
from reconciler.settings import Settings
from tests.core.worlds import container
from tests.fakes import image

ID = "a" * 64
BAD = Quarantine(
    revision="b" * 64, name="shop-web-1", app="shop", service="web", spec="shop.yaml",
    fault="was never healthy", ended="exit code 1",
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path)


@pytest.fixture
def files(settings: Settings) -> RevisionFiles:
    return RevisionFiles(settings)


def make(settings: Settings, wanted: Container, *lines: str) -> None:
    folder = settings.containers / ID
    (folder / "log").mkdir(parents=True, exist_ok=True)
    (folder / MADE_FROM).write_text(made_from(wanted, image(wanted.image)))
    (folder / "log" / "container.log").write_text("".join(f"2026-01-01T00:00:00Z stdout F {line}\n" for line in lines))


def test_a_good_revision_outlives_its_container_and_the_daemon(settings: Settings, files: RevisionFiles) -> None:
    wanted = container()
    make(settings, wanted)
    files.keep(ID, wanted.name, "c" * 64)
    (settings.containers / ID / MADE_FROM).unlink()
    good, bad = RevisionFiles(settings).look()
    assert (good[wanted.name].container, good[wanted.name].image) == (wanted, image(wanted.image))
    assert good[wanted.name].revision == "c" * 64
    assert not bad
    assert (settings.state / "good").stat().st_mode & 0o777 == 0o700
    assert (settings.state / "good" / f"{wanted.name}.json").stat().st_mode & 0o777 == 0o600
    files.keep(ID, wanted.name, "d" * 64)
    assert not files.look()[0], "what cannot be made again is not called good"


def test_a_failed_revision_is_kept_with_its_last_words(settings: Settings, files: RevisionFiles) -> None:
    make(settings, container(), *(f"line {number}" for number in range(100)), "no luck\x1b[31m today")
    files.quarantine(ID, BAD)
    (found,) = RevisionFiles(settings).look()[1].values()
    assert replace(found, output=()) == BAD
    assert len(found.output) == 20
    assert found.output[-1] == "no luck [31m today"
    assert str(found) == (
        'quarantined: revision bbbbbbbbbbbb of shop/web was never healthy (exit code 1: "no luck [31m today");'
        " change the spec or the image to try again"
    )
    files.forget((), (BAD.revision,))
    files.forget(("never-there-1",), (BAD.revision,))
    assert not files.look()[1]


def test_one_that_wrote_nothing_has_no_last_words(files: RevisionFiles) -> None:
    files.quarantine(ID, BAD)
    assert "(exit code 1);" in str(files.look()[1][BAD.revision])


def test_what_is_damaged_counts_for_nothing(settings: Settings, files: RevisionFiles) -> None:
    for folder in ("good", "quarantine"):
        (settings.state / folder).mkdir()
        for name, text in (("a", ""), ("b", "[]"), ("c", '{"revision": 5}'), ("d", "\0")):
            (settings.state / folder / f"{name}.json").write_text(text)
        (settings.state / folder / ".half.json.new").write_text("{}")
    assert files.look() == ({}, {})


def test_who_left_is_noted_and_forgotten(settings: Settings, files: RevisionFiles) -> None:
    left = Removals(at=5.5, apps=("a", "b"), gone=("a",))
    assert files.removals() is None
    files.note_removals(left)
    assert RevisionFiles(settings).removals() == left
    (settings.state / "removals.json").write_text('{"at": "yesterday"}')
    assert files.removals() is None
    files.note_removals(None)
    files.note_removals(None)
    assert not (settings.state / "removals.json").exists()
    (settings.state / "removals.json").mkdir()
    with pytest.raises(HostError, match=r"^cannot forget which apps left: .*: "):
        files.note_removals(None)


def test_a_disk_that_cannot_be_written_is_one_sentence(settings: Settings, files: RevisionFiles) -> None:
    (settings.state / "quarantine").write_text("in the way")
    with pytest.raises(HostError, match=r"^cannot remember that revision bbbbbbbbbbbb failed: .*: "):
        files.quarantine(ID, BAD)


tests: st.SearchStrategy[Test] = st.one_of(
    st.builds(CommandTest, argv=st.just(("true", "it is"))),
    st.builds(HttpTest, port=st.integers(1, 65535), path=st.just("/well"), host=st.sampled_from(["", "a.example"])),
    st.builds(TcpTest, port=st.integers(1, 65535)),
)
mounts = st.lists(
    st.one_of(
        st.builds(VolumeMount, volume=st.just("shop_data"), target=st.just("/a")),
        st.builds(BindMount, source=st.just("/srv"), target=st.just("/b"), read_only=st.booleans()),
        st.builds(TmpfsMount, target=st.just("/c"), size=st.none() | st.integers(1, 9)),
    ),
    max_size=3,
).map(tuple)
containers = st.builds(
    container,
    mounts=mounts,
    healthcheck=st.none() | st.builds(Healthcheck, test=st.none() | tests, interval=st.sampled_from([0.5, 30.0])),
    command=st.none() | st.just(("a", "b")),
    ports=st.just(()) | st.just((Port(target=80, published=8080, allow=("10.0.0.0/8",)),)),
    networks=st.just((Attachment(network="shop_default", aliases=("w",)),)),
    egress=st.none() | st.just(()) | st.just((Destination(host="example.org", ports=(443, 443)),)),
    environment=st.just((("A", "ü\n"),)),
    updates=st.builds(Updates, config=st.builds(UpdateConfig, order=st.sampled_from(["", "stop-first"]))),
)


@given(containers)
def test_what_a_container_was_made_from_comes_back_as_it_was(wanted: Container) -> None:
    config = ImageConfig(command=("x",), healthcheck=wanted.healthcheck)
    seen: SeenImage = replace(image("docker.io/library/web:1"), config=config, layers=("sha256:1", "sha256:2"))
    assert parse_made_from(made_from(wanted, seen)) == (wanted, seen)


@given(st.lists(st.text()))
def test_last_words_are_printable_and_bounded(lines: list[str]) -> None:
    for line in last_lines(lines):
        assert line.isprintable()
        assert 0 < len(line) <= 200
