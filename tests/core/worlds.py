"""Values for planner tests, and Hypothesis strategies for whole hosts and whole sets of specs."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from reconciler.core.addresses import bridge_name, gateway
from reconciler.core.health import Healthcheck, TcpTest
from reconciler.core.model import Container, Desired, PullPolicy, Restart, Volume, VolumeMount
from reconciler.core.networking import Attachment, Destination, Endpoint, Network, Port
from reconciler.core.starting import Condition, Dependency
from tests.fakes import FakeHost

WEB = "docker.io/library/web:1"
DB = "docker.io/library/db:1"


def attached(*networks: str | None) -> tuple[Attachment, ...]:
    """Where a container is that joins these; None is nowhere."""
    return tuple(Attachment(network=network) for network in networks if network)


def endpoint(network: Network, ipv4: str, bridge: str = "", **changes: object) -> Endpoint:
    """A container's end of a network with IPv4 only; the address with its prefix length."""
    values: dict[str, object] = {
        "network": network, "bridge": bridge or bridge_name("reconciler", network.name), "interface": "eth0",
        "ipv4": ipv4, "gateway4": gateway(ipv4),
    }  # fmt: skip
    return Endpoint(**(values | changes))  # type: ignore[arg-type]


def container(app: str = "shop", service: str = "web", replica: int = 1, **changes: object) -> Container:
    values: dict[str, object] = {
        "name": f"{app}-{service}-{replica}", "app": app, "service": service, "replica": replica,
        "spec": f"{app}.yaml", "image": WEB, "networks": attached(f"{app}_default"),
        "restart": Restart(policy="always"),
    }  # fmt: skip
    return Container(**(values | changes))  # type: ignore[arg-type]


def desired(*containers: Container, held: dict[str, str] | None = None, unavailable: str = "") -> Desired:
    volumes = {
        mount.volume: Volume(name=mount.volume, app=wanted.app, spec=wanted.spec)
        for wanted in containers
        for mount in wanted.mounts
        if isinstance(mount, VolumeMount)
    }
    return Desired(
        containers={wanted.name: wanted for wanted in containers},
        networks={
            attachment.network: Network(name=attachment.network, app=wanted.app, spec=wanted.spec)
            for wanted in containers
            for attachment in wanted.networks
        },
        volumes=volumes,
        held=held or {},
        unavailable=unavailable,
    )


restarts = st.builds(
    Restart,
    policy=st.sampled_from(["no", "always", "on-failure", "unless-stopped"]),
)


pull_policies = st.sampled_from(
    [PullPolicy(), PullPolicy(when="always"), PullPolicy(when="every", interval=3600.0), PullPolicy(when="missing")]
)


CHECK = Healthcheck(test=TcpTest(port=80), interval=1.0, timeout=1.0, retries=1)


def dependencies(on: Container) -> st.SearchStrategy[Dependency]:
    """On conditions of `on` that come true in time when nobody disturbs them."""
    conditions: list[Condition] = ["service_started"]
    if on.healthcheck and on.restart.policy in ("always", "unless-stopped"):
        conditions.append("service_healthy")
    if on.restart.policy == "on-failure":
        conditions.append("service_completed_successfully")
    return st.builds(
        Dependency,
        service=st.just(on.service),
        condition=st.sampled_from(conditions),
        required=st.booleans(),
        restart=st.booleans(),
    )


@st.composite
def apps(draw: st.DrawFn, name: str) -> list[Container]:
    """The containers of one app: up to three services of up to three replicas, some depending on the first."""
    found: list[Container] = []
    for index, service in enumerate(draw(st.lists(st.sampled_from(["web", "db", "job"]), unique=True, max_size=3))):
        ports = (Port(target=80, published=8000 + hash_of(name) + index),) if draw(st.booleans()) else ()
        mounts = (VolumeMount(volume=f"{name}_data", target="/data"),) if draw(st.booleans()) else ()
        depends: bool = draw(st.booleans())
        first = found[0].service if found and depends else ""
        environment = (("V", draw(st.sampled_from("12"))),)
        restart = draw(restarts)
        policy = draw(pull_policies)
        own, shared = f"{name}_default", f"{name}_back"
        networks = draw(st.sampled_from([(own,), (own,), (own, shared), (), None]))
        lender = found[0] if found and networks is None and found[0].restart.policy == "always" else None
        where: dict[str, object] = {"networks": attached(*(networks or ()))}
        if draw(st.integers(0, 4)) == 0:
            where["egress"] = (Destination(host="10.9.0.0/16"), Destination(host="example.org", ports=(443, 443)))
        if lender:
            where, ports, first = {"networks": (), "shares": lender.name}, (), lender.service
        check = draw(st.sampled_from([None, None, CHECK]))
        depends_on = (draw(dependencies(found[0])),) if first else ()
        found += [
            container(
                name, service, replica, ports=ports, mounts=mounts, environment=environment, restart=restart,
                pull_policy=policy, depends_on=depends_on, healthcheck=check, image=draw(st.sampled_from([WEB, DB])),
                **where,
            )
            for replica in range(1, draw(st.integers(1, 3)) + 1)
        ]  # fmt: skip
    return found


def hash_of(name: str) -> int:
    return ord(name[0]) * 10


@st.composite
def worlds(draw: st.DrawFn) -> Desired:
    """What all specs together mean: up to three apps, one of which may be held."""
    names = draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3))
    held = draw(st.sampled_from(["", "", "a", "c"]))
    containers = [entry for name in names if name != held for entry in draw(apps(name))]
    return desired(*containers, held={held: "cannot read it"} if held else None)


def _nothing(_: FakeHost) -> None:
    return


def _crash(host: FakeHost) -> None:
    for index, id in enumerate(list(host.containers)):
        host.end(id, (0, 1, 137)[index % 3])


def _flush(host: FakeHost) -> None:
    host.table = ""


def _unbridge(host: FakeHost) -> None:
    for name in sorted(host.bridges)[:1]:
        del host.bridges[name]


def _unlink(host: FakeHost) -> None:
    for id in sorted(host.attached)[:1]:
        del host.attached[id]


def _forget_images(host: FakeHost) -> None:
    host.seen_images.clear()


def _move_tags(host: FakeHost) -> None:
    """Somebody pushes, and an hour passes."""
    for reference in (WEB, DB):
        host.moved[reference] = host.moved.get(reference, 0) + 1
    host.now += 3600.0


def _a_day_passes(host: FakeHost) -> None:
    host.now += 90_000


def _remove(host: FakeHost) -> None:
    for id in sorted(host.containers)[:1]:
        host.attached.pop(id, None)
        del host.containers[id]


def _unguard(host: FakeHost) -> None:
    host.guarded = ()


def _silence(host: FakeHost) -> None:
    for name in sorted(host.resolvers)[:1]:
        del host.resolvers[name]


def _rename(host: FakeHost) -> None:
    for network in sorted(host.names)[:1]:
        host.names[network] = (("stranger", "192.0.2.1 web\n"),)


def _fall_ill(host: FakeHost) -> None:
    host.answer_probes(lambda name: ord(name[0]) % 2 == 1)


disturbances: st.SearchStrategy[Callable[[FakeHost], None]] = st.sampled_from(
    [
        *(_nothing, FakeHost.reboot, _crash, _flush, _unbridge, _unlink, _forget_images, _move_tags),
        *(_a_day_passes, _remove, _unguard, _silence, _rename, _fall_ill),
    ]
)
"""Something happens to the host that nobody declared."""
