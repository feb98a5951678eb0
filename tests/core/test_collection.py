"""What is thrown away: on no host anything that runs, is wanted, or may be gone back to."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import images, instances
from reconciler.core.model import Container, Desired, Observed, SeenImage, revision
from reconciler.core.plan import plan
from reconciler.core.reference import image_key
from reconciler.core.scene import Policy, scene
from reconciler.core.steps import CollectImages, PullImage, Task
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Good, Quarantine
from tests.core.hosts import NOW, POLICY, seen
from tests.core.worlds import DB, WEB, container, desired
from tests.fakes import image

LONG_AGO = NOW - 100 * 86400.0
REFERENCES = (WEB, DB, "docker.io/library/old:1")
versions = st.integers(1, 3)
stored = st.builds(image, st.sampled_from(REFERENCES), versions)


@st.composite
def replicas(draw: st.DrawFn, name: str) -> Container:
    """As some spec says, or said."""
    reference = draw(st.sampled_from(REFERENCES))
    locked = image(reference, draw(versions)).digest if draw(st.integers(0, 3)) == 0 else ""
    platform = draw(st.sampled_from(["", "", "linux/arm64"]))
    return container(name, image=reference, locked=locked, platform=platform, networks=())


@st.composite
def hosts(draw: st.DrawFn) -> tuple[Desired, Observed]:
    """Specs and a host: what runs, waits, is being replaced, in quarantine or gone from the specs."""
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5))
    wanted = [draw(replicas(name)) for name in names]
    here = draw(st.lists(stored, max_size=8))
    found = {image_key(each.reference, ""): each for each in here}
    for reference, platform in draw(st.lists(st.tuples(st.sampled_from(REFERENCES), st.just("linux/arm64")))):
        found[image_key(reference, platform)] = replace(image(reference, draw(versions)), platform=platform)
    running = {}
    for number, name in enumerate(draw(st.lists(st.sampled_from("abcdefgh"), max_size=8))):
        of, made_from = draw(replicas(name)), draw(stored)
        id = f"{number:064x}"
        running[id] = replace(
            seen(of=of, id=id), image_digest=made_from.digest, revision=revision(of, made_from.digest)
        )
    good, bad = {}, {}
    for of in draw(st.lists(st.one_of([replicas(name) for name in "abcdefg"]), max_size=4)):
        made_from = draw(stored)
        good[of.name] = Good(revision=revision(of, made_from.digest), container=of, image=made_from)
    for of in wanted:
        made = images.image_of(of, found)
        if made and draw(st.booleans()):
            digest = revision(of, made.digest)
            bad[digest] = Quarantine(
                revision=digest, name=of.name, app=of.app, service=of.service, spec=of.spec, fault="fell ill", ended=""
            )
    host = Observed(
        images=found, containers=running, good=good, quarantined=bad, collected_at=LONG_AGO,
        removals=Removals(at=NOW, apps=tuple("abcdefgh")),
    )  # fmt: skip
    return desired(*wanted), host


def after(observed: Observed, step: CollectImages) -> dict[str, SeenImage]:
    """The store once all that may go is gone, however young it is."""
    kept = {image.digest for image in observed.images.values() if image.reference in step.references}
    kept |= set(step.digests)
    return {key: image for key, image in observed.images.items() if image.digest in kept}


@given(hosts())
@settings(max_examples=500, deadline=None)
def test_nothing_goes_that_anybody_may_need(world: tuple[Desired, Observed]) -> None:
    wanted, host = world
    (task,) = images.collection(wanted, host, images.Keep(0.85, 86400.0), NOW)
    (step,) = task.steps
    assert isinstance(step, CollectImages)
    left = after(host, step)
    assert {seen.image_digest for seen in host.containers.values()} <= set(step.digests), "of what is there"
    assert {good.image.digest for good in host.good.values()} <= set(step.digests), "of what may be made again"
    looked_at = scene(wanted, host, NOW, POLICY, ())
    for of in wanted.containers.values():
        assert images.image_of(of, left) == images.image_of(of, host.images), "of what is wanted, or waits"
        found = instances.replica(looked_at, of)
        assert found.image is None or found.image.digest in step.digests, "of what is to be in force"


@given(hosts())
@settings(max_examples=200, deadline=None)
def test_after_it_nothing_is_pulled_again(world: tuple[Desired, Observed]) -> None:
    """What is thrown away and fetched again would be thrown away each day."""
    wanted, host = world
    (task,) = images.collection(wanted, host, images.Keep(0.85, 86400.0), NOW)
    assert isinstance(task.steps[0], CollectImages)
    left = after(host, task.steps[0])
    before, then = ({step.reference for task in images.pulls(wanted.containers, here, {}, NOW) for step in task.steps
                     if isinstance(step, PullImage)} for here in (host.images, left))  # fmt: skip
    assert before == then


def test_nobody_is_made_of_what_is_just_being_thrown_away() -> None:
    old = image("docker.io/library/old:1")
    here = Observed(images={old.reference: old, WEB: image(WEB)}, collected_at=LONG_AGO)
    (collecting,) = plan(Desired(), here, NOW, POLICY).tasks
    wanted = desired(container(image=old.reference, networks=()))
    (wait,) = plan(wanted, here, NOW, POLICY, (collecting,)).waits
    assert wait.reason == "waits until it is known whether image docker.io/library/old:1 is thrown away"
    kept = Task("collect", "", (CollectImages((old.reference,), (), 0.0),))
    assert plan(wanted, here, NOW, POLICY, (kept,)).tasks[0].key == "container:shop-web-1"


def test_nothing_is_thrown_away_while_an_image_is_fetched() -> None:
    here = Observed(images={WEB: image(WEB)}, collected_at=LONG_AGO)
    pulling = Task(f"image:{DB}", "", (PullImage(DB),))
    assert [task.key for task in plan(Desired(), here, NOW, POLICY).tasks] == ["collect"]
    assert plan(Desired(), here, NOW, POLICY, (pulling,)).converged


@given(hosts())
@settings(max_examples=200, deadline=None)
def test_what_waits_for_a_word_keeps_its_images(world: tuple[Desired, Observed]) -> None:
    _, host = world
    looked_at = scene(Desired(), host, NOW, Policy(max_removal=0), ())
    for task in images.collection(Desired(), host, images.Keep(0.85, 86400.0), NOW):
        assert isinstance(task.steps[0], CollectImages)
        assert {seen.image_digest for seen in looked_at.kept} <= set(task.steps[0].digests)
