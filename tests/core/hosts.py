"""Builders of hosts for planner tests: one that has what a running `shop` needs, and what its plan says."""

from __future__ import annotations

from reconciler.core.addresses import bridge_name
from reconciler.core.dns import fingerprint, records
from reconciler.core.frontends import serving
from reconciler.core.model import (
    Container,
    Desired,
    Observed,
    Running,
    SeenContainer,
    State,
    digest,
    revision,
)
from reconciler.core.networking import Endpoint, Network, Pairs, Resolver, SeenNetwork
from reconciler.core.plan import plan
from reconciler.core.removal import noted
from reconciler.core.ruleset import Bound, Bridge, Published, Rules, render
from reconciler.core.scene import Policy
from reconciler.core.steps import Plan, Task
from reconciler.core.wiring import veth_name
from tests.core.worlds import WEB, container, endpoint
from tests.fakes import image

POLICY = Policy(address_pool="10.0.0.0/16", network_prefix=24)
NOW = 5000.0
BRIDGE = bridge_name("reconciler", "shop_default")
NETWORK = SeenNetwork(name="shop_default", app="shop", spec="shop.yaml", bridge=BRIDGE, subnet="10.0.7.1/24")
OF_NETWORK = Bridge(bridge=BRIDGE, subnet=NETWORK.subnet)
RESOLVER = fingerprint(
    Resolver(
        name="shop_default", bridge=BRIDGE, addresses=("10.0.7.1",), networks=("shop_default",),
        local=("shop_default", "7.0.10.in-addr.arpa"),
    )
)  # fmt: skip
WEB_CONTAINER = container()
RUNNING = Running(pid=7, since=4000.0)


def ends(wanted: Container, address: str) -> tuple[Endpoint, ...]:
    return tuple(
        endpoint(Network(name=entry.network, app=wanted.app, spec=wanted.spec), f"{address}/24")
        for entry in wanted.networks
    )


def seen(
    state: State = RUNNING, *, of: Container = WEB_CONTAINER, address: str = "10.0.7.2", **changes: object
) -> SeenContainer:
    wanted = of
    values: dict[str, object] = {
        "id": "a" * 64, "name": wanted.name, "app": wanted.app, "service": wanted.service, "replica": wanted.replica,
        "spec": wanted.spec, "revision": revision(wanted, image(wanted.image).digest), "image": wanted.image,
        "image_digest": image(wanted.image).digest, "endpoints": ends(wanted, address),
        "stop_signal": "SIGTERM", "stop_grace_period": 10.0, "state": state, "created_at": 1000.0,
        "ports": wanted.ports, "restart": wanted.restart, "egress": wanted.egress,
    }  # fmt: skip
    return SeenContainer(**(values | changes))  # type: ignore[arg-type]


def names_of(*containers: SeenContainer) -> Pairs:
    serve = serving(containers, frozenset())
    there = [entry for entry in containers if entry.id in serve or isinstance(entry.state, Running)]
    return records(there, serve).get("shop_default", ())


def bound(*containers: SeenContainer) -> tuple[Bound, ...]:
    return tuple(
        Bound(link=veth_name(entry.id, place), addresses=(end.address,))
        for entry in containers
        for place, end in enumerate(entry.endpoints)
    )


def ruleset(*containers: SeenContainer, published: tuple[Published, ...]) -> str:
    return render("reconciler", Rules(networks=(OF_NETWORK,), published=published, bound=bound(*containers)))


def host(*containers: SeenContainer, **changes: object) -> Observed:
    """A host that has what one running `shop` needs, with its ruleset in force."""
    published = tuple(
        Published(
            protocol=port.protocol, host_ip=port.host_ip, port=port.published, targets=((entry.address, port.target),)
        )
        for entry in containers
        for port in entry.ports
        if entry.connected and isinstance(entry.state, Running) and entry.state.stop_sent is None
    )
    values: dict[str, object] = {
        "images": {WEB: image(WEB)},
        "networks": {"shop_default": NETWORK},
        "containers": {entry.id: entry for entry in containers},
        "ruleset": digest(
            render("reconciler", Rules(networks=(OF_NETWORK,), published=published, bound=bound(*containers)))
        ),
        "guarded": ("10.0.7.0/24",),
        "resolvers": {"shop_default": RESOLVER},
        "names": {"shop_default": names_of(*containers)},
    }
    return Observed(**(values | changes))  # type: ignore[arg-type]


def made(wanted: Desired, observed: Observed, doing: tuple[Task, ...] = ()) -> Plan:
    """The plan once it is noted who leaves."""
    return plan(wanted, noted(wanted, observed, POLICY.max_removal, NOW), NOW, POLICY, doing)


def printed(wanted: Desired, observed: Observed) -> list[str]:
    return str(made(wanted, observed)).splitlines()
