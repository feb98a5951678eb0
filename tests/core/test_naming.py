"""Who may start before names are served: nobody who is new, everybody who was there."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.model import Created
from reconciler.core.networking import SeenNetwork
from reconciler.core.steps import CreateContainer, StartContainer, Step
from tests.core.hosts import BRIDGE, WEB_CONTAINER, host, made, printed, seen
from tests.core.worlds import attached, container, desired

BOTH = container(service="web", networks=attached("shop_default", "shop_other"))
WAITS = "container:shop-web-1: waits for names of shop_default to be served"


def steps(*kinds: type[Step], of: object) -> list[Step]:
    return [step for task in of.tasks for step in task.steps if isinstance(step, kinds)]  # type: ignore[attr-defined]


def test_a_new_instance_waits_until_it_can_ask_for_names() -> None:
    wanted = desired(WEB_CONTAINER)
    assert WAITS in printed(wanted, host(resolvers={}))
    assert not steps(CreateContainer, of=made(wanted, host(resolvers={})))
    (created,) = steps(CreateContainer, of=made(wanted, host()))
    assert isinstance(created, CreateContainer)
    assert created.joint.nameservers == ("10.0.7.1",)


def test_an_old_instance_runs_on_while_the_new_one_waits() -> None:
    wanted = desired(replace(WEB_CONTAINER, command=("other",)))
    found = made(wanted, host(seen(), resolvers={}))
    assert [str(wait) for wait in found.waits] == [WAITS]
    assert not [task for task in found.tasks if task.key.startswith("container:")]


def test_what_was_there_already_starts_without_waiting() -> None:
    stopped = seen(Created(pid=7))
    assert steps(StartContainer, of=made(desired(WEB_CONTAINER), host(stopped, resolvers={})))


def test_a_view_of_several_networks_is_waited_for_and_told_when_it_has_no_place() -> None:
    crowded = "container:shop-web-1: waits: cannot choose an address for a resolver: all of 10.0.7.0/30 are in use"
    other = SeenNetwork(name="shop_other", app="shop", spec="shop.yaml", bridge="rc-other", subnet="10.0.8.1/24")
    first = SeenNetwork(name="shop_default", app="shop", spec="shop.yaml", bridge=BRIDGE, subnet="10.0.7.1/30")
    neighbour = container(service="db")
    there = seen(of=neighbour, address="10.0.7.2")
    there = replace(there, endpoints=tuple(replace(end, ipv4="10.0.7.2/30") for end in there.endpoints))
    wanted, networks = desired(BOTH, neighbour), {"shop_default": first, "shop_other": other}
    assert any(line.startswith(crowded) for line in printed(wanted, host(there, networks=networks)))
    roomy = {"shop_default": replace(first, subnet="10.0.7.1/24"), "shop_other": other}
    waits = "container:shop-web-1: waits for names of shop_default, shop_other to be served"
    assert waits in printed(wanted, host(networks=roomy))
