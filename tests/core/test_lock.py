"""What a lock does to what is desired: it decides, it holds nothing, and it says what it lacks."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.lock import Change, Lock, difference, locked, tags, to_ask
from reconciler.core.model import Observed, revision
from tests.core.hosts import seen
from tests.core.worlds import DB, WEB, container, desired

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
PINNED = f"{WEB}@{A}"


def test_no_lock_changes_nothing() -> None:
    wanted = desired(container())
    assert locked(wanted, Lock(), Observed()) is wanted


def test_a_lock_gives_every_tag_its_digest() -> None:
    found = locked(desired(container(), container(service="db", image=DB)), Lock({WEB: A, DB: B}), Observed())
    assert {entry.pulls for entry in found.containers.values()} == {f"{WEB}@{A}", f"{DB}@{B}"}
    assert found.unlocked == ()


def test_a_digest_in_the_spec_wins_and_is_not_missed() -> None:
    found = locked(desired(container(image=PINNED)), Lock({WEB: B}), Observed())
    assert [entry.pulls for entry in found.containers.values()] == [PINNED]
    assert found.unlocked == ()


def test_what_is_on_disk_is_not_locked() -> None:
    found = locked(desired(container(image="oci:/srv/app:1")), Lock({}), Observed())
    assert (found.unlocked, [entry.locked for entry in found.containers.values()]) == ((), [""])


def test_what_the_lock_lacks_is_told_and_pulled_by_its_tag() -> None:
    found = locked(desired(container()), Lock({}), Observed())
    assert found.unlocked == (f"image {WEB} is not in reconciler.lock; `reconciler lock` adds it",)
    assert [entry.pulls for entry in found.containers.values()] == [WEB]


def test_a_broken_lock_keeps_the_last_good_one() -> None:
    found = locked(desired(container()), Lock({WEB: A}, "reconciler.lock:1:1: cannot"), Observed())
    assert found.unlocked == ("reconciler.lock:1:1: cannot",)
    assert [entry.locked for entry in found.containers.values()] == [A]


def test_a_lock_that_was_never_good_keeps_what_runs() -> None:
    old = seen(image_digest=B, created_at=1.0)
    observed = Observed(containers={"1": old, "2": replace(old, image_digest=A, created_at=2.0)})
    wanted = desired(container(), container(service="db", image=DB))
    found = locked(wanted, Lock(None, "cannot read it"), observed)
    assert {entry.image: entry.locked for entry in found.containers.values()} == {WEB: A, DB: ""}
    assert found.unlocked == ("cannot read it",)


def test_the_lock_is_no_part_of_the_revision() -> None:
    assert revision(replace(container(), locked=A), "digest") == revision(container(), "digest")


WANTED = {WEB: {"shop", "blog"}, DB: {"shop"}}


def test_which_tags_are_asked_for() -> None:
    assert to_ask(WANTED, {}, None) == [DB, WEB]
    assert to_ask(WANTED, {WEB: A}, None) == [DB]
    assert to_ask(WANTED, {WEB: A, DB: B}, []) == [DB, WEB]
    assert to_ask(WANTED, {WEB: A, DB: B}, ["blog"]) == [WEB]
    assert to_ask(WANTED, {WEB: A}, ["blog"]) == [DB, WEB]


def test_tags_are_those_of_registries_with_their_apps() -> None:
    apps = (container(), container("blog"), container("x", image=PINNED), container("y", image="oci:/a:1"))
    assert tags(desired(*apps)) == {WEB: {"shop", "blog"}}


def test_a_difference_names_what_came_went_and_moved() -> None:
    assert difference({"b": A, "c": A, "d": A}, {"a": B, "b": B, "d": A}) == (
        Change("a", "", B), Change("b", A, B), Change("c", A, ""),
    )  # fmt: skip


digests = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([A, B]))


@given(digests, digests)
def test_a_difference_leads_from_one_to_the_other(old: dict[str, str], new: dict[str, str]) -> None:
    found = dict(old)
    for change in difference(old, new):
        assert found.get(change.reference, "") == change.old
        found[change.reference] = change.new
    assert {name: digest for name, digest in found.items() if digest} == new
