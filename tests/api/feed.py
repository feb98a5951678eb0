"""A feed made by hand, and one host's worth of values: an app `shop` with all that the views distinguish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reconciler.core import model
from reconciler.core.history import History
from reconciler.core.networking import Attachment, Endpoint, Network, Port, SeenNetwork
from reconciler.core.status import Event, Host, Outcome, Snapshot
from reconciler.core.steps import Plan, StartContainer, Task, Wait

NOW = 1_795_453_176.5
SECRET = "hunter2"


class FakeFeed:
    """`core.status.Feed` over a snapshot and a list of events that a test may change."""

    def __init__(self, snapshot: Snapshot, events: tuple[Event, ...] = ()) -> None:
        self.snapshot = snapshot
        self.kept = list(events)
        self.rings: list[Callable[[], None]] = []
        self.recorded = History()

    def current(self) -> Snapshot:
        return self.snapshot

    def history(self) -> History:
        return self.recorded

    def events(self, after: int) -> tuple[Event, ...]:
        return tuple(event for event in self.kept if event.sequence > after)

    def subscribe(self, ring: Callable[[], None]) -> Callable[[], None]:
        self.rings.append(ring)
        return lambda: self.rings.remove(ring)

    def happen(self, event: Event) -> None:
        self.kept.append(event)
        for ring in tuple(self.rings):
            ring()


IMAGE = model.SeenImage(
    reference="docker.io/library/bb:1",
    digest="sha256:" + "d" * 64,
    id="sha256:" + "b" * 64,
    layers=("sha256:" + "6" * 64,),
    config=model.ImageConfig(
        environment=(f"IMAGE_TOKEN={SECRET}",),
        command=("/bin/sh", "-c", f"echo {SECRET}"),
        exposed_ports=("80/tcp", "junk"),
        labels=(("org.opencontainers.image.source", "example"),),
    ),
    created="2026-11-23T16:50:06.5634736Z",
    size=1982390,
)

NETWORK = Network(name="shop_default", app="shop", spec="shop.yaml")
END = Endpoint(network=NETWORK, bridge="rc-1", interface="eth0", ipv4="10.192.3.2/24", gateway4="10.192.3.1")

WEB = model.Container(
    name="shop-web-1",
    app="shop",
    service="web",
    replica=1,
    spec="shop.yaml",
    image=IMAGE.reference,
    networks=(Attachment(network="shop_default"),),
    command=("sh", "-c", f"serve --password {SECRET}"),
    environment=(("SECRET_TOKEN", SECRET),),
    labels=(("traefik.enable", "true"),),
    mounts=(
        model.VolumeMount(volume="shop_data", target="/data"),
        model.BindMount(source=f"/srv/{SECRET}/x", target="/etc/app.yaml", read_only=True),
        model.TmpfsMount(target="/tmp"),
    ),
    ports=(
        Port(target=80, published=18081, host_ip="127.0.0.1"),
        Port(target=53, published=53, protocol="udp"),
    ),
    restart=model.Restart(policy="unless-stopped"),
    resources=model.Resources(memory=64 << 20, cpus=0.5, pids=100),
)


def seen(name: str, state: model.State, **changes: object) -> model.SeenContainer:
    base = model.SeenContainer(
        id=model.digest(name),
        name=f"shop-{name}-1",
        app="shop",
        service=name,
        replica=1,
        spec="shop.yaml",
        revision="f" * 64,
        image=IMAGE.reference,
        image_digest=IMAGE.digest,
        stop_signal="SIGTERM",
        stop_grace_period=10.0,
        state=state,
        created_at=NOW - 600,
        command=("sh", "-c", f"serve --password {SECRET}"),
        endpoints=(END,),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


CONTAINERS = (
    seen("web", model.Running(pid=4711, since=NOW - 480), created_at=NOW - 601, ports=WEB.ports, restart=WEB.restart),
    seen("lone", model.Running(pid=4712, since=NOW - 3600), endpoints=()),
    seen("done3", model.Exited(code=3, at=NOW - 470, since=NOW - 475)),
    seen("worker", model.Exited(code=1, at=NOW - 5, since=NOW - 6), restarts=4, failures=3, restart=WEB.restart),
    seen("fresh", model.Dead()),
)

SNAPSHOT = Snapshot(
    at=NOW,
    generation=7,
    desired=model.Desired(
        containers={
            WEB.name: WEB,
            "shop-worker-1": replace(WEB, name="shop-worker-1", service="worker", ports=(), mounts=()),
            "shop-lost-1": replace(WEB, name="shop-lost-1", service="lost", ports=()),
        },
        networks={"shop_default": NETWORK},
        volumes={"shop_data": model.Volume(name="shop_data", app="shop", spec="shop.yaml")},
        held={"bad": "bad.yaml:1:1: cannot read services: it is a list"},
    ),
    observed=model.Observed(
        images={IMAGE.reference: IMAGE},
        networks={
            "shop_default": SeenNetwork(
                name="shop_default", app="shop", spec="shop.yaml", bridge="rc-1", subnet="10.192.3.1/24"
            )
        },
        volumes=frozenset({"shop_data", "left_over"}),
        containers={one.id: one for one in CONTAINERS},
    ),
    plan=Plan(
        tasks=(Task("container:shop-lost-1", "it is missing", (StartContainer("a" * 64, "shop-lost-1", 0, 0),)),),
        waits=(Wait("container:shop-worker-1", "it ended 3 times in a row", NOW + 8, code="crash-loop"),),
    ),
    outcomes={"image:x": Outcome(key="image:x", at=NOW, error="cannot pull image x: the registry is away", failures=2)},
    host=Host(
        name="host1",
        kernel="6.18.44",
        operating_system="Debian GNU/Linux 12 (bookworm)",
        processors=2,
        memory=25276514304,
        runtime_version="1.1.5",
        cgroup_version=1,
        state_directory="/var/lib/reconciler",
    ),
)

EVENTS = (
    Event(sequence=1, at=NOW - 600, kind="image", name=IMAGE.reference, action="pulled"),
    Event(sequence=2, at=NOW - 480, kind="container", name="shop-web-1", action="started", container=CONTAINERS[0].id),
    Event(sequence=3, at=NOW - 470, kind="container", name="shop-done3-1", action="died",
          container=CONTAINERS[2].id, attributes=(("exitCode", "3"),)),
    Event(sequence=4, at=NOW - 400, kind="spec", name="bad.yaml", action="held", message="cannot read bad.yaml"),
)  # fmt: skip
