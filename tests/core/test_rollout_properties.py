"""Updates with ill revisions, failing calls and a daemon that is killed between any two steps: nothing is ever lost.

At no point of any run are fewer replicas ready than the policy allows, or lead the ports to fewer; nobody is stopped
before its connections had time to drain; no more are replaced at once than was said; no two containers use an exclusive
volume, and no revision in quarantine starts: the last two are what the fake host refuses.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, replace
from typing import Literal, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.health import Health, Healthcheck, TcpTest
from reconciler.core.model import Container, Desired, Exited, Running, VolumeMount
from reconciler.core.networking import Port
from reconciler.core.plan import plan
from reconciler.core.scene import Policy
from reconciler.core.steps import Step, StopContainer
from reconciler.core.updates import UpdateConfig, Updates
from reconciler.daemon.execute import perform
from reconciler.errors import HostError
from tests.core.worlds import container, desired
from tests.fakes import FakeHost

POLICY = Policy(address_pool="10.0.0.0/16", network_prefix=24)
Fate = Literal["fine", "is slow", "crashes", "falls ill", "is never well", "cannot be made", "cannot be started"]
DRAIN = 2.0
SLOW = 6.5  # seconds that the slow one takes, longer than others are watched
CHECK = Healthcheck(test=TcpTest(port=80), interval=1.0, timeout=1.0, retries=1, start_period=10.0)


@dataclass(frozen=True)
class Shop:
    """A service in all its versions, and what becomes of each."""

    replicas: int
    exclusive: bool
    checked: bool
    updates: UpdateConfig
    fates: tuple[Fate, ...]

    def wanted(self, version: int) -> Desired:
        mounts = (VolumeMount(volume="shop_data", target="/data"),) if self.exclusive else ()
        found = desired(*(self.container(version, replica, mounts) for replica in range(1, self.replicas + 1)))
        exclusive = {name: replace(volume, exclusive=True) for name, volume in found.volumes.items()}
        return replace(found, volumes=exclusive)

    def container(self, version: int, replica: int, mounts: tuple[VolumeMount, ...]) -> Container:
        return container(
            replica=replica, ports=(Port(target=80, published=8080),), environment=(("V", str(version)),),
            mounts=mounts, healthcheck=CHECK if self.checked else None,
            updates=Updates(config=self.updates, drain=DRAIN),
        )  # fmt: skip

    @property
    def least(self) -> int:
        """How many replicas are ready at any time."""
        return self.replicas if self.overlaps else max(0, self.replicas - self.at_once)

    @property
    def overlaps(self) -> bool:
        """Whether the new one starts beside the old one."""
        return self.updates.order != "stop-first" and not self.exclusive

    @property
    def at_once(self) -> int:
        """How many replicas are replaced at the same time."""
        return self.updates.parallelism or self.replicas

    @property
    def fine(self) -> bool:
        """Whether every version is."""
        return all(fate == "fine" for fate in self.fates)


shops = st.builds(
    Shop,
    replicas=st.just(1) | st.integers(1, 3),
    exclusive=st.just(False),
    checked=st.booleans(),
    updates=st.builds(
        UpdateConfig,
        order=st.sampled_from(["", "start-first", "stop-first"]),
        parallelism=st.integers(0, 2),
        delay=st.sampled_from([0.0, 3.0]),
        monitor=st.sampled_from([1.0, 5.0]),
        failure_action=st.sampled_from(["pause", "continue", "rollback"]),
        max_failure_ratio=st.sampled_from([0.0, 0.5]),
    ),
    fates=st.lists(st.just("fine") | st.sampled_from(get_args(Fate)), min_size=1, max_size=4).map(
        lambda fates: ("fine", *fates)
    ),
)
alone = shops.map(lambda shop: replace(shop, replicas=1, exclusive=True))


class World:
    """The host, time, and what happens in containers."""

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self.shop, self.chance, self.trouble = shop, chance, False
        self.host = FakeHost(fault=lambda: self.trouble and chance.random() < 0.05)
        self.host.exclusive = {"shop_data"} if shop.exclusive else set()
        self.host.unfit = lambda made: self.fate(made).rpartition("cannot be ")[2]
        self.least = 0
        self.led: dict[str, float] = {}  # id -> when a port last led to it

    def fate(self, made: Container) -> Fate:
        return self.shop.fates[int(dict(made.environment)["V"])]

    def look(self, wanted: Desired) -> bool:
        """One look, of whose tasks a killed daemon leaves some undone; whether there was nothing to do or wait for."""
        found = plan(wanted, self.host.observe(), self.host.now, POLICY)
        for task in found.tasks:
            with contextlib.suppress(HostError):
                for step in task.steps:
                    if self.trouble and self.chance.random() < 0.1:
                        break  # killed here
                    self.judge(step)
                    perform(step, self.host.ports(), lambda _: None)
                    self.check()
        self.live()
        return not found.tasks and not any(wait.until or wait.passing for wait in found.waits)

    def live(self) -> None:
        """Half a second in the lives of all containers."""
        self.host.obey_stops()
        self.host.now += 0.5
        for id, seen in list(self.host.containers.items()):
            if isinstance(seen.state, Running):
                made, _ = self.host.made_from[id]
                self.befall(id, self.fate(made), self.host.now - seen.state.since)
        self.check()

    def befall(self, id: str, fate: Fate, age: float) -> None:
        seen = self.host.get(id)
        well = fate in {"fine", "is slow"} or (fate == "falls ill" and age < self.shop.updates.monitor - 0.5)
        if seen.health is not None and age >= (SLOW if fate == "is slow" else 1.0):
            state: Literal["healthy", "unhealthy"] = "healthy" if well else "unhealthy"
            if seen.health.state != state:
                self.host.put(id, health=Health(state=state, since=self.host.now))
        elif not well:
            self.host.end(id, 1)

    def check(self) -> None:
        """As many replicas are ready as the policy says, the old and the new ones together."""
        ready = {seen.name for seen in self.host.containers.values() if seen.ready}
        assert len(ready) >= self.least, f"{sorted(ready)} of {self.shop.replicas} at {self.host.now}"
        led = [seen for seen in self.host.containers.values() if f" : {seen.address} . 80," in self.host.table]
        self.led |= {seen.id: self.host.now for seen in led}
        if self.shop.fine:
            served = {seen.name for seen in led if seen.ready}
            assert len(served) >= self.least, f"ports lead to {sorted(served)} at {self.host.now}"
            assert len(self.changing()) <= self.shop.at_once, f"{self.changing()} at {self.host.now}"

    def changing(self) -> set[str]:
        """The replicas of which there are two, or none that runs."""
        running = [seen.name for seen in self.host.containers.values() if isinstance(seen.state, Running)]
        names = {f"shop-web-{number}" for number in range(1, self.shop.replicas + 1)} if self.least else set()
        return {name for name in names if running.count(name) != 1}

    def judge(self, step: Step) -> None:
        """Whoever served, and is well, has time for its connections before it is stopped."""
        if isinstance(step, StopContainer) and self.shop.overlaps and self.least:
            seen = self.host.get(step.id)
            well = seen.ready and seen.revision not in self.host.quarantined
            assert not well or self.host.now - self.led.get(step.id, 0.0) >= DRAIN, f"{step} at {self.host.now}"


def run(world: World, wanted: Desired, looks: int) -> bool:
    return any([world.look(wanted) for _ in range(looks)][-1:])


def behave(shop: Shop, chance: random.Random) -> World:
    world = World(shop, chance)
    assert run(world, shop.wanted(0), 60)
    world.least = shop.least if shop.fine or shop.least == shop.replicas else 0
    for version in range(1, len(shop.fates)):
        world.trouble = True
        run(world, shop.wanted(version), chance.choice([3, 10, 30, 80]))
        world.trouble = False
    assert run(world, shop.wanted(len(shop.fates) - 1), 300), "no end"
    return world


@given(shops | alone, st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_whatever_happens_as_many_are_ready_as_the_policy_allows(shop: Shop, seed: int) -> None:
    world = behave(shop, random.Random(seed))
    last = str(len(shop.fates) - 1)
    runs = [
        dict(world.host.made_from[id][0].environment)["V"]
        for id, seen in world.host.containers.items()
        if isinstance(seen.state, Running)
    ]
    if shop.fates[-1] in {"fine", "is slow"}:
        assert runs == [last] * shop.replicas
        assert not world.host.quarantined
    else:
        assert not any(isinstance(seen.state, Exited) for seen in world.host.containers.values() if world.least)
        assert len(runs) >= world.least
