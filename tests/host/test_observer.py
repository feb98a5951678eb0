"""What a look reads again, and how containers and their links become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.model import Dead, SeenContainer
from reconciler.core.names import CONTAINER, EVERYTHING, IMAGES, LINKS
from reconciler.core.networking import Endpoint, Network
from reconciler.core.wiring import HostEnd, Inside, Interface
from reconciler.host.observe import Observer, Readers
from reconciler.host.observe.links import Links
from reconciler.host.observe.names import SeenNames

ID = "a" * 64
ENDPOINT = Endpoint(network=Network(name="n", app="a", spec="s"), bridge="rc-0", interface="eth0", ipv4="10.192.3.2/24")
INSIDE = Inside(
    interfaces={
        "eth0": Interface(mac="02:42:0a:c0:03:02", addresses=("10.192.3.2/24",), subnets=("10.192.3.0/24",)),
    }
)
WELL = Links(insides={ID: INSIDE}, ends={ID: {"rc-0": HostEnd(name="rc0", bridge="rc-0")}})


def container(*endpoints: Endpoint) -> SeenContainer:
    return SeenContainer(
        id=ID, name="a-b-1", app="a", service="b", replica=1, spec="s", revision="r", image="i", image_digest="d",
        stop_signal="SIGTERM", stop_grace_period=10.0, state=Dead(), created_at=0.0, endpoints=endpoints,
    )  # fmt: skip


@dataclass
class Host:
    """What the readers answer, and what they were asked."""

    seen: SeenContainer
    links: Links = WELL
    asked: list[str] = field(default_factory=list)

    def look(self, ids: frozenset[str] | None) -> Mapping[str, SeenContainer]:
        self.asked.append("all containers" if ids is None else f"{len(ids)} containers")
        return {ID: self.seen}

    def look_at_links(self, full: bool) -> Links:
        self.asked.append("all links" if full else "links")
        return self.links

    def observer(self) -> Observer:
        return Observer(
            Readers(
                images=dict,
                mirrors=dict,
                usage=lambda: (None, 0.0),
                volumes=frozenset,
                containers=self,
                links=self.look_at_links,
                ruleset=str,
                guarded=tuple,
                obstacles=lambda ipv6: (),
                names=lambda full: SeenNames(),
                revisions=lambda: ({}, {}),
                refused=dict,
                removals=lambda: None,
                runs=lambda: ({}, {}),
                listeners=lambda owners: (),
            )
        )


def test_links_are_read_when_they_rang_and_from_nothing_now_and_then() -> None:
    host = Host(container(ENDPOINT))
    observer = host.observer()
    for names in ({EVERYTHING}, {IMAGES}, {LINKS}, {CONTAINER + ID}):
        observer.look(frozenset(names))
    assert host.asked == ["all links", "all containers", "0 containers", "links", "0 containers", "1 containers"]


def test_a_container_that_did_not_change_stays_the_same_object() -> None:
    host = Host(container(ENDPOINT))
    observer = host.observer()
    before = observer.look(frozenset({EVERYTHING})).containers[ID]
    assert before is host.seen
    host.links = replace(WELL, insides={ID: replace(INSIDE)})
    assert observer.look(frozenset({LINKS})).containers[ID] is before
    host.links = replace(WELL, insides={})
    broken = observer.look(frozenset({LINKS})).containers[ID]
    assert broken.disconnected == "its network namespace is gone"
    assert observer.look(frozenset({LINKS})).containers[ID] is broken
    host.links = WELL
    assert observer.look(frozenset({LINKS})).containers[ID].connected


def test_what_a_container_reader_thinks_of_links_does_not_count() -> None:
    host = Host(replace(container(ENDPOINT), disconnected="its network namespace is not kept"))
    assert host.observer().look(frozenset({EVERYTHING})).containers[ID].disconnected == ""


def test_who_uses_the_namespace_of_another_has_no_links_of_its_own() -> None:
    for elsewhere in (replace(container(), host_network=True), replace(container(), shares="b" * 64)):
        observer = Host(elsewhere, Links()).observer()
        assert observer.look(frozenset({EVERYTHING})).containers[ID].connected


def test_addresses_that_cni_plugins_gave_are_the_endpoints() -> None:
    endpoint = replace(ENDPOINT, network=replace(ENDPOINT.network, driver="cni"), bridge="", ipv4="")
    granted = replace(WELL, granted={ID: {"eth0": ("10.192.3.2/24", "")}})
    host = Host(container(endpoint), granted)
    observer = host.observer()
    found = observer.look(frozenset({EVERYTHING})).containers[ID]
    assert (found.address, found.disconnected) == ("10.192.3.2", "")
    assert observer.look(frozenset({LINKS})).containers[ID] is found
    host.links = replace(granted, insides={ID: Inside(interfaces={"eth0": Interface()})})
    assert observer.look(frozenset({LINKS})).containers[ID].disconnected == "its address 10.192.3.2/24 is gone"
