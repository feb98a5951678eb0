"""Whatever a snapshot holds, it renders, and no secret is in what comes out (RELIABILITY F-145)."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.api import docker, native
from reconciler.api.docker import events
from reconciler.api.question import Question, RefusalError, encode
from reconciler.core import model
from reconciler.core.networking import Attachment, Endpoint, Joint, Network, Port, SeenNetwork
from reconciler.core.status import Event, Snapshot
from reconciler.core.steps import CreateContainer, Plan, Task
from reconciler.core.why import apps
from tests.api.feed import EVENTS, IMAGE, NOW, SECRET, SNAPSHOT, WEB, seen

words = st.text(max_size=12).filter(lambda text: SECRET not in text)
numbers = st.integers(0, 1 << 40)
moments = st.floats(allow_nan=False, allow_infinity=False, width=32)
pairs = st.lists(st.tuples(words, words), max_size=3).map(tuple)
hidden = st.builds("{}{}{}".format, words, st.just(SECRET), words)

mounts = st.one_of(
    st.builds(model.VolumeMount, volume=words, target=words),
    st.builds(model.BindMount, source=hidden, target=words),
    st.builds(model.TmpfsMount, target=words),
)
ports = st.builds(Port, target=st.integers(1, 65535), published=st.integers(1, 65535), host_ip=words)
containers = st.builds(
    model.Container,
    name=words, app=words, service=words, replica=numbers, spec=words, image=words,
    networks=st.lists(words.map(lambda name: Attachment(network=name)), max_size=2).map(tuple),
    command=st.none() | st.lists(hidden, max_size=3).map(lambda rest: ("sh", *rest)),
    environment=st.lists(st.tuples(words, hidden), max_size=3).map(tuple),
    labels=pairs, working_dir=words, user=words, hostname=words,
    mounts=st.lists(mounts, max_size=3).map(tuple),
    ports=st.lists(ports, max_size=3).map(tuple),
)  # fmt: skip
states = st.one_of(
    st.builds(model.Dead),
    st.builds(model.Created, pid=numbers),
    st.builds(model.Running, pid=numbers, since=moments, stop_sent=st.none() | moments),
    st.builds(model.Exited, code=st.integers(0, 255), at=moments, since=moments, oom=st.booleans()),
)
images = st.builds(
    model.SeenImage,
    reference=words, digest=words, id=words, layers=st.just(()), created=words, size=numbers,
    config=st.builds(
        model.ImageConfig,
        environment=st.lists(hidden, max_size=2).map(tuple),
        command=st.lists(hidden, max_size=2).map(lambda rest: ("sh", *rest)),
        exposed_ports=st.lists(words, max_size=3).map(tuple),
        labels=pairs, volumes=st.lists(words, max_size=2).map(tuple),
    ),
)  # fmt: skip


def container_ends(word: str) -> tuple[Endpoint, ...]:
    network = Network(name=word, app=word, spec=word)
    return (Endpoint(network=network, bridge="b", interface="eth0", ipv4=word, aliases=(word,)),)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    wanted = draw(st.lists(containers, min_size=1, max_size=3))
    image = draw(images)
    found = {}
    for index, container in enumerate(wanted):
        state, moment = draw(states), draw(moments)
        command = ("sh", *draw(st.lists(hidden, max_size=2)))
        found[f"{index:064x}"] = replace(
            seen("x", state), id=f"{index:064x}", name=container.name, endpoints=container_ends(draw(words)),
            image=image.reference, image_digest=image.digest, created_at=moment, command=command, ports=container.ports,
        )  # fmt: skip
    network = SeenNetwork(name=draw(words), app=draw(words), spec="s", bridge="b", subnet=draw(words))
    create = CreateContainer("a" * 64, wanted[0], "r" * 64, image, Joint())
    return replace(
        SNAPSHOT,
        desired=model.Desired(containers={container.name: container for container in wanted}),
        observed=model.Observed(
            images={image.reference: image},
            networks={network.name: network},
            volumes=frozenset({"v"}),
            containers=found,
        ),
        plan=Plan(tasks=(Task("container:x", "it is missing", (create,)),)),
    )


def everything(snapshot: Snapshot) -> bytes:
    """All that the socket would say of it."""
    ids = (*snapshot.observed.containers, *snapshot.observed.images, *snapshot.observed.networks, "v")
    answers: list[object] = []
    names = [{"id": id, "app": "", "service": "", "revision": ""} for id in ids]
    names += [{"id": "", "app": app, "service": "", "revision": ""} for app in apps(snapshot)]
    for answer in (*native.ANSWERS.values(), *docker.ANSWERS.values()):
        for path in names:
            try:
                answers.append(answer(Question(snapshot=snapshot, now=NOW, path=path, query={"all": "1"})))
            except RefusalError as refusal:
                answers.append({"message": str(refusal)})
    starts = [replace(EVENTS[1], container=id) for id in snapshot.observed.containers]
    return encode([*answers, *(events.shown(event, snapshot) for event in starts)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(snapshots())
def test_any_snapshot_renders_and_tells_no_secret(snapshot: Snapshot) -> None:
    text = everything(snapshot)
    assert json.loads(text)
    assert SECRET.encode() not in text


def test_the_fixture_tells_no_secret_and_has_one() -> None:
    assert SECRET not in everything(SNAPSHOT).decode()
    assert SECRET in repr(SNAPSHOT)
    assert SECRET in repr(WEB)
    assert SECRET in repr(IMAGE)


def test_the_comparison_would_see_a_secret() -> None:
    leaking = replace(WEB, labels=(("token", SECRET),))  # labels are shown: Traefik routes by them
    snapshot = replace(SNAPSHOT, desired=model.Desired(containers={WEB.name: leaking}))
    assert SECRET in everything(snapshot).decode()


happened = st.builds(
    Event,
    sequence=numbers, at=moments, name=words, message=words, attributes=pairs,
    kind=st.sampled_from(["container", "image", "network", "volume", "spec"]),
    action=words | st.sampled_from(["died", "created", "removed"]),
    container=words | st.just("c" * 64),
)  # fmt: skip


@given(happened)
def test_any_event_renders_on_one_line(event: Event) -> None:
    shown = events.shown(event, SNAPSHOT)
    for line in (encode(native.event(event)), encode(shown)):
        assert line.count(b"\n") == 1
    assert shown is None or len(str(shown["Type"])) > 4
