"""Records: whole values come back, bounds hold for any sequence, the order is kept, and nothing hidden is in them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import history
from reconciler.core.facts import Fact, difference, facts
from reconciler.core.health import Healthcheck, HttpTest
from reconciler.core.history import (
    Act,
    AppRevision,
    Done,
    End,
    Entry,
    Life,
    Record,
    Service,
    masked,
    parse,
    render,
    surplus,
)
from reconciler.core.jobs import Schedule
from reconciler.core.model import BindMount, Container, Exited, VolumeMount
from reconciler.core.networking import Port
from reconciler.core.starting import Dependency, Hook, Hooks
from reconciler.core.steps import KillContainer, RotateLog, StartContainer, Task
from reconciler.errors import Failure
from tests.api.feed import SECRET
from tests.api.test_secrets import containers
from tests.core.worlds import container
from tests.fake_history import KEY

words = st.text(max_size=8)
times = st.floats(0, 1e10)
some_facts = st.lists(st.builds(Fact, words, words, words), max_size=3).map(tuple)
acts = st.builds(Act, at=times, key=words, cause=words, plan=st.tuples(words), error=words)
ends = st.builds(End, at=times, code=st.integers(0, 255), oom=st.booleans(), asked=st.booleans())
lives = st.builds(
    Life,
    id=words, name=words, app=words, service=words, revision=words, image=words, digest=words, at=times,
    facts=some_facts, before=words, before_facts=some_facts, fault=words, gone=st.none() | times, count=st.integers(),
    acts=st.lists(acts, max_size=2).map(tuple), ends=st.lists(ends, max_size=2).map(tuple),
    output=st.lists(words, max_size=2).map(tuple),
)  # fmt: skip
services = st.builds(
    Service, name=words, image=words, digest=words, revisions=st.tuples(st.tuples(words, words)), facts=some_facts
)
some_services = st.lists(services, max_size=2).map(tuple)
app_revisions = st.builds(AppRevision, app=words, revision=words, at=times, services=some_services)
records: st.SearchStrategy[Record] = st.one_of(lives, app_revisions)
LIFE = Life(
    id="a" * 64, name="shop-web-1", app="shop", service="web", revision="b" * 64, image="web", digest="c", at=1.0
)


@given(records)
def test_what_is_rendered_is_parsed(record: Record) -> None:
    assert parse(render(record)) == record


@given(st.text() | st.builds(lambda record, place: render(record)[:place], records, st.integers(0, 300)))
def test_whatever_stands_in_a_file_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except (ValueError, KeyError, TypeError):
        return


entries = st.builds(Entry, name=st.uuids().map(str), group=st.sampled_from("abc"), at=times, size=st.integers(0, 1000))


@given(st.lists(entries, max_size=40), st.integers(1, 5), st.integers(0, 5000))
def test_bounds_hold_and_the_oldest_go_first(kept: list[Entry], most: int, size: int) -> None:
    gone = surplus(kept, most, size)
    left = [one for one in kept if one.name not in gone]
    assert sum(one.size for one in left) <= size
    for group in "abc":
        assert sum(one.group == group for one in left) <= most
    by_name = {one.name: one for one in kept}
    assert [by_name[name].at for name in gone] == sorted(by_name[name].at for name in gone)
    assert surplus(left, most, size) == ()


@given(st.lists(entries, max_size=40), st.integers(1, 5))
def test_of_one_group_only_the_newest_stay(kept: list[Entry], most: int) -> None:
    gone = surplus(kept, most, 1 << 40)
    for group in "abc":
        left = [one.at for one in kept if one.group == group and one.name not in gone]
        assert not left or all(one.at <= min(left) for one in kept if one.group == group and one.name in gone)


@given(st.lists(st.tuples(st.sampled_from(["one", "two", "x" * 500]), times), max_size=40))
def test_a_life_stays_small_whatever_is_done_with_it(done: list[tuple[str, float]]) -> None:
    life = LIFE
    for cause, at in done:
        task = Task("container:x", cause, (KillContainer(LIFE.id, "x" * 400),) * 30)
        life = history.acted(life, Done(task, Failure("y" * 500), at))
        life = history.ended(life, Exited(code=1, at=at, since=0.0))
        life = history.with_output(life, ["z" * 500] * 50, ())
    assert len(life.acts) <= history.FIRST_ACTS + history.LAST_ACTS
    assert len(life.ends) <= history.ENDS
    assert len(life.output) <= history.LINES
    assert len(render(life)) < 200_000
    assert [end.at for end in life.ends] == sorted(end.at for end in life.ends)


def test_a_try_that_fails_as_before_is_one_act() -> None:
    task = Task("container:x", "missing", (StartContainer(LIFE.id, "x", 0, 0),))
    life = LIFE
    for at in range(50):
        life = history.acted(life, Done(task, Failure("cannot start it"), float(at)))
    assert [(act.at, act.error) for act in life.acts] == [(49.0, "cannot start it")]


def test_upkeep_is_no_part_of_a_life() -> None:
    assert history.concerns(Task("log:x", "grew", (RotateLog("a", "x"),))) == ()
    assert history.concerns(Task("container:x", "late", (KillContainer("a", "x"),))) == ("a",)


# --- secrets -----------------------------------------------------------------------------------------------------


@given(containers)
def test_no_value_that_may_be_secret_is_a_fact(made: Container) -> None:
    assert SECRET not in str(facts(made, "sha256:1", KEY))


def test_what_could_be_secret_is_known_by_name_only() -> None:
    made = container(
        environment=(("TOKEN", SECRET),), labels=(("l", SECRET),), command=(SECRET,), entrypoint=(SECRET,),
        mounts=(BindMount(source=f"/{SECRET}", target="/x"), VolumeMount(volume="v", target="/y", read_only=True)),
        ports=(Port(target=80, published=8080),), hooks=Hooks(post_start=(Hook(command=(SECRET,)),)),
        extra_hosts=(("h", SECRET),), working_dir=f"/{SECRET}",
    )  # fmt: skip
    told = {fact.name: fact.text for fact in facts(made, "sha256:1", KEY)}
    assert SECRET not in str(told)
    assert {name for name, text in told.items() if not text} == {
        "environment.TOKEN", "labels.l", "command", "entrypoint", "mounts./x", "hooks", "extra_hosts.h", "working_dir"
    }  # fmt: skip
    assert (told["mounts./y"], told["ports"], told["image"]) == ("volume v, read only", "*:8080->80/tcp", made.image)


def test_marks_tell_values_apart_and_depend_on_the_key() -> None:
    one, two = (facts(container(environment=(("T", value),)), "d", KEY) for value in ("a", "b"))
    assert [str(it) for it in difference(one, two)] == ["~ environment.T: another value"]
    other = facts(container(environment=(("T", "a"),)), "d", "11" * 32)
    assert difference(one, other)


def test_differences_are_told_by_name_and_value() -> None:
    old = container(environment=(("A", "1"),), ports=(Port(target=80, published=80),))
    new = container(environment=(("B", "1"),), image="docker.io/library/web:2", user="me")
    assert [str(it) for it in difference(facts(old, "1", KEY), facts(new, "2", KEY))] == [
        "- environment.A",
        "+ environment.B",
        "~ image: docker.io/library/web:1 -> docker.io/library/web:2",
        "~ image digest: 1 -> 2",
        "- ports: *:80->80/tcp",
        "+ user: me",
    ]


def test_what_has_parts_is_told_part_by_part_and_what_is_not_declared_not_at_all() -> None:
    made = container(
        healthcheck=Healthcheck(test=HttpTest(port=80, path=f"/?token={SECRET}"), interval=1.0),
        depends_on=(Dependency(service="db"), Dependency(service="cache", restart=True)),
        schedule=Schedule(cron="@daily", history=7),
    )
    assert {fact.name: fact.text for fact in facts(made, "sha256:1", KEY)} == {
        "depends_on.cache.restart": "true", "depends_on.db": "true", "healthcheck.interval": "1.0",
        "healthcheck.test": "", "image": made.image, "image digest": "sha256:1", "networks.shop_default": "true",
        "restart.policy": "always", "schedule.cron": "@daily", "schedule.history": "7",
    }  # fmt: skip


@given(containers, containers)
def test_equal_containers_differ_in_nothing(one: Container, two: Container) -> None:
    assert difference(facts(one, "d", KEY), facts(replace(one, name="x", replica=9), "d", KEY)) == ()
    assert bool(difference(facts(one, "d", KEY), facts(two, "e", KEY)))


@pytest.mark.parametrize("secret", ["s3cr3t-value", "line one\nline two", "x" * 290])
def test_output_is_hidden_before_it_is_cut(secret: str) -> None:
    hidden = history.secrets_of(container(environment=(("T", secret), ("SHORT", "eu"))))
    for line in (*secret.splitlines(), f"a{secret.splitlines()[0]}b in eu", "y" * 290 + secret.splitlines()[0]):
        told = masked(line, hidden)
        assert not any(part[:6] in told for part in secret.splitlines())
    assert masked("in eu\x1b[2J", hidden) == "in eu [2J"
