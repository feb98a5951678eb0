"""All specs together: names, replicas, ports, and who is held when two want the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.document import (
    AUTOMATIC,
    Dependency,
    Document,
    NetworkDeclaration,
    PortMapping,
    Service,
    VolumeDeclaration,
)
from reconciler.core.expand import app_name, expand
from reconciler.core.model import BindMount, Dead, Desired, Observed, SeenContainer, VolumeMount
from reconciler.core.networking import Attachment, Port
from reconciler.core.resolve import CERTAIN_AFTER, missing, resolve
from reconciler.errors import Problem, SpecError
from tests.core.documents import NOBODY, declared, joined, published, resolved, service, spec

TAKEN = "has it; set another 'name', or rename the file"
BROKEN = SpecError(Problem("a.yaml", 1, 2, "cannot read YAML: no"), Problem("a.yaml", 3, 4, "cannot read YAML: never"))


@pytest.mark.parametrize(
    ("path", "declared", "name"),
    [
        ("web.yaml", "", "web"),
        ("web.toml", "shop", "shop"),
        ("blog/compose.yaml", "", "blog"),
        ("blog/compose.toml", "", "blog"),
        ("blog/docker-compose.yaml", "", "blog"),
        ("compose.yaml", "", "compose"),
        ("a.b.yaml", "", "a.b"),
    ],
)
def test_app_name(path: str, declared: str, name: str) -> None:
    assert app_name(path, spec(path, name=declared)) == name


def test_replicas_networks_and_volumes_get_full_names() -> None:
    document = Document(
        path="web.yaml",
        services=(
            replace(
                service(),
                replicas=2,
                networking=joined("front"),
                mounts=(
                    VolumeMount(volume="theirs", target="/z"),
                    VolumeMount(volume="data", target="/d"),
                    BindMount(source="/a", target="/d/e"),
                ),
                depends_on=(Dependency(service="db"), Dependency(service="db")),
            ),
            replace(service("db"), replicas=0),
        ),
        networks=(NetworkDeclaration(key="default"), declared("front", labels=(("a", "b"),))),
        volumes=(
            VolumeDeclaration(key="data"),
            VolumeDeclaration(key="theirs", external=True),
            VolumeDeclaration(key="unused"),
        ),
    )
    desired = resolved(document)
    assert list(desired.containers) == ["web-web-1", "web-web-2"]
    container = desired.containers["web-web-2"]
    assert (container.app, container.service, container.replica, container.spec) == ("web", "web", 2, "web.yaml")
    assert container.networks == (Attachment(network="web_front"),)
    assert [mount.target for mount in container.mounts] == ["/d", "/d/e", "/z"]
    assert container.mounts[0] == VolumeMount(volume="web_data", target="/d")
    assert container.mounts[2] == VolumeMount(volume="theirs", target="/z")
    assert [entry.service for entry in container.depends_on] == ["db"]
    assert {name: network.labels for name, network in desired.networks.items()} == {"web_front": (("a", "b"),)}
    assert {name: volume.external for name, volume in desired.volumes.items()} == {"web_data": False, "theirs": True}


def test_explicit_names_are_kept() -> None:
    document = Document(
        path="web.yaml",
        services=(replace(service(), mounts=(VolumeMount(volume="data", target="/d"),)),),
        networks=(declared("default", "public"),),
        volumes=(VolumeDeclaration(key="data", name="store"),),
    )
    desired = resolved(document)
    assert (list(desired.networks), list(desired.volumes)) == (["public"], ["store"])
    assert desired.containers["web-web-1"].networks == (Attachment(network="public"),)


def test_a_broken_spec_holds_its_path_and_its_app_and_nobody_else() -> None:
    desired = resolve({"a.yaml": BROKEN, "b.yaml": spec("b.yaml")}, NOBODY, apps={"a.yaml": "shop"})
    assert desired.held == {"a.yaml": str(BROKEN), "shop": str(BROKEN)}
    assert list(desired.containers) == ["b-web-1"]


def test_a_broken_spec_that_never_was_good_holds_its_path() -> None:
    assert resolve({"a.yaml": BROKEN}, NOBODY).held == {"a.yaml": str(BROKEN)}


def test_another_spec_cannot_take_the_name_of_a_broken_one() -> None:
    desired = resolve({"a.yaml": BROKEN, "b.yaml": spec("b.yaml", name="shop")}, NOBODY, apps={"a.yaml": "shop"})
    assert desired.containers == {}
    assert desired.held == {
        "a.yaml": str(BROKEN),
        "shop": str(BROKEN),
        "b.yaml": f"b.yaml:1:1: cannot use app name 'shop' for b.yaml: a.yaml {TAKEN}",
    }


def test_unavailable_source_is_passed_on() -> None:
    assert resolve({}, NOBODY, "cannot read it").unavailable == "cannot read it"


def test_the_same_app_twice_first_path_wins_and_only_the_other_path_is_held() -> None:
    desired = resolved(spec("b.yaml", name="web"), spec("a.toml", name="web"))
    assert desired.containers["web-web-1"].spec == "a.toml"
    assert desired.held == {"b.yaml": f"b.yaml:1:1: cannot use app name 'web' for b.yaml: a.toml {TAKEN}"}


@pytest.mark.parametrize(("established", "winner", "loser"), [(NOBODY, "a", "b"), (frozenset({"b"}), "b", "a")])
def test_a_port_conflict_names_both_and_the_established_stays(
    established: frozenset[str], winner: str, loser: str
) -> None:
    documents = [spec(f"{name}.yaml", service(ports=(published(80),))) for name in "ab"]
    desired = resolved(*documents, established=established)
    why = (
        f"{loser}.yaml:5:9: cannot use host port *:80/tcp for app '{loser}' ({loser}.yaml): "
        f"app '{winner}' ({winner}.yaml) has it"
    )
    assert desired.held == {f"{loser}.yaml": why, loser: why}
    assert list(desired.containers) == [f"{winner}-web-1"]


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (published(80), published(81), False),
        (published(80), published(80), True),
        (published(80), published(80, "127.0.0.1"), True),
        (published(80, "127.0.0.1"), published(80), True),
        (published(80, "127.0.0.1"), published(80, "127.0.0.1"), True),
        (published(80, "127.0.0.1"), published(80, "127.0.0.2"), False),
        (published(80), replace(published(80), protocol="udp"), False),
    ],
)
def test_which_ports_conflict(first: PortMapping, second: PortMapping, conflict: bool) -> None:
    apart = resolved(spec("a.yaml", service(ports=(first,))), spec("b.yaml", service(ports=(second,))))
    assert bool(apart.held) == conflict
    together = resolved(spec("a.yaml", service(ports=(first,)), service("db", ports=(second,))))
    assert bool(together.held) == conflict


def test_a_held_app_takes_nothing_from_others() -> None:
    loser = spec("b.yaml", service(ports=(published(80), published(81))))
    desired = resolved(
        spec("a.yaml", service(ports=(published(80),))), loser, spec("c.yaml", service(ports=(published(81),)))
    )
    assert set(desired.held) == {"b.yaml", "b"}
    assert set(desired.containers) == {"a-web-1", "c-web-1"}


def test_names_that_meet_across_apps_are_conflicts() -> None:
    desired = resolved(spec("a.yaml", service("b-c")), spec("a-b.yaml", service("c")))
    assert set(desired.held) == {"a.yaml", "a"}
    assert "cannot use container name 'a-b-c-1'" in desired.held["a"]


def test_external_volumes_may_be_shared() -> None:
    def document(path: str) -> Document:
        mounts = (VolumeMount(volume="data", target="/d"),)
        volumes = (VolumeDeclaration(key="data", external=True),)
        return Document(
            path=path,
            services=(replace(service(), mounts=mounts),),
            networks=(NetworkDeclaration(key="default"),),
            volumes=volumes,
        )

    desired = resolved(document("a.yaml"), document("b.yaml"))
    assert (desired.held, list(desired.volumes)) == ({}, ["data"])


def test_an_automatic_port_is_stable_shared_by_replicas_and_avoids_what_is_taken() -> None:
    automatic = spec("a.yaml", replace(service(ports=(published(None),)), replicas=2))
    desired = resolved(automatic)
    (port,) = desired.containers["a-web-1"].ports
    assert port == Port(target=80, published=51924)  # frozen: a release that moves it breaks its users
    assert desired.containers["a-web-2"].ports == (port,)
    beside = resolved(automatic, spec("b.yaml", service(ports=(published(port.published),))))
    assert beside.held == {}
    assert beside.containers["a-web-1"].ports[0].published == port.published + 1


def test_two_automatic_ports_of_one_target_differ() -> None:
    ports = resolved(spec("a.yaml", service(ports=(published(None), published(None))))).containers["a-web-1"].ports
    assert ports[0].published != ports[1].published


@pytest.mark.parametrize("name", ["A", "a.b", "-a", "_a", "ä", "a" * 64, "a b"])
def test_app_names_that_cannot_be(name: str) -> None:
    desired = resolved(spec(f"{name}.yaml"))
    assert desired.held[f"{name}.yaml"].startswith(f"{name}.yaml:1:1: cannot use '{name}' as the app's name: ")
    assert not desired.containers


@pytest.mark.parametrize(
    ("services", "errors"),
    [
        ([service("a", needs=("b",))], ["'depends_on' of service 'a': there is no service 'b' in this app"]),
        ([service("a", needs=("a",))], ["'depends_on' of service 'a': it depends on itself: a -> a"]),
        (
            [service("a", needs=("b",)), service("b", needs=("c",)), service("c", needs=("b",))],
            ["'depends_on' of service 'b': it depends on itself: b -> c -> b"],
        ),
        (
            [service(one, needs=(two,)) for one, two in ("ab", "ba", "cd", "dc")],
            [
                "'depends_on' of service 'a': it depends on itself: a -> b -> a",
                "'depends_on' of service 'c': it depends on itself: c -> d -> c",
            ],
        ),
        ([service("a", needs=("b", "c")), service("b", needs=("c",)), service("c")], []),
    ],
)
def test_dependencies(services: list[Service], errors: list[str]) -> None:
    held = resolved(spec("x.yaml", *services)).held.get("x", "")
    assert held.splitlines() == [f"x.yaml:7:8: cannot use {error}" for error in errors]


def test_what_a_document_wants_is_computed_once() -> None:
    document = spec("a.yaml")
    assert expand("a.yaml", document) is expand("a.yaml", document)
    first, second = resolved(document), resolved(document, spec("b.yaml"))
    assert first.containers["a-web-1"] is second.containers["a-web-1"]


NAMES = st.sampled_from(["a", "b", "a-b", "B", ""])
MAPPINGS = st.builds(
    PortMapping,
    target=st.integers(1, 3),
    published=st.sampled_from([AUTOMATIC, (79, 79), (80, 80), (81, 81), (79, 80), (80, 82)]),
    protocol=st.sampled_from(["tcp", "udp"]),
    host_ip=st.sampled_from(["", "127.0.0.1", "0.0.0.0", "::", "::2"]),
)
SERVICES = st.builds(
    Service,
    name=st.sampled_from(["a", "b", "b-1"]),
    image=st.just("docker.io/library/a:1"),
    ports=st.lists(MAPPINGS, max_size=3).map(tuple),
    replicas=st.integers(0, 2),
    depends_on=st.lists(st.builds(Dependency, service=st.sampled_from(["a", "b", "c"])), max_size=2).map(tuple),
)


@st.composite
def all_specs(draw: st.DrawFn) -> dict[str, Document | SpecError]:
    specs: dict[str, Document | SpecError] = {}
    for path in draw(st.lists(st.sampled_from(["a.yaml", "b.toml", "c/compose.yaml", "D.yaml"]), unique=True)):
        services = draw(st.lists(SERVICES, max_size=3, unique_by=lambda entry: entry.name))
        good = Document(
            path=path,
            name=draw(NAMES),
            services=tuple(services),
            networks=(declared("default", draw(st.sampled_from(["", "net"])), draw(st.booleans())),),
        )
        specs[path] = good if draw(st.integers(0, 3)) else BROKEN
    return specs


@given(all_specs(), st.frozensets(st.sampled_from(["a", "b", "c"])), st.dictionaries(st.just("a.yaml"), NAMES))
def test_never_raises_and_every_spec_is_either_desired_or_held(
    specs: dict[str, Document | SpecError], established: frozenset[str], apps: dict[str, str]
) -> None:
    desired = resolve(specs, established, apps=apps)
    assert desired == resolve({path: specs[path] for path in sorted(specs, reverse=True)}, established, apps=apps)
    for path, document in specs.items():
        wanted = [container for container in desired.containers.values() if container.spec == path]
        if path in desired.held:
            assert not wanted
        else:
            assert isinstance(document, Document)
            assert len(wanted) == sum(entry.replicas for entry in document.services)
    assert not {container.app for container in desired.containers.values()} & set(desired.held)
    taken = {
        (container.app, container.service, port)
        for container in desired.containers.values()
        for port in container.ports
    }
    assert len({(port.protocol, port.published, port.host_ip) for *_, port in taken}) == len(taken)
    used = {attachment.network for container in desired.containers.values() for attachment in container.networks}
    assert set(desired.networks) <= used <= {*desired.networks, "net", "default"}


SEEN = SeenContainer(
    id="1", name="shop-web-1", app="shop", service="web", replica=1, spec="shop.yaml", revision="r", image="a",
    image_digest="d", stop_signal="SIGTERM", stop_grace_period=10.0, state=Dead(),
    created_at=0.0,
)  # fmt: skip


def test_an_app_without_a_spec_is_certain_soon_also_when_the_clock_was_set_back() -> None:
    seen = Observed(containers={"1": SEEN})
    first = missing(Desired(), seen, Desired(), 1000.0)
    assert first.vanished == {"shop": 1000.0 + CERTAIN_AFTER}
    assert missing(Desired(), seen, first, 1000.1).vanished == first.vanished
    assert missing(Desired(), seen, first, 10.0).vanished == {"shop": 10.0 + CERTAIN_AFTER}
