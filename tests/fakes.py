"""One host in memory behind all ports, and it obeys the host's laws.

Doing what a real host refuses (creating twice, starting what is not mounted, removing a bridge in use) raises
`IllegalCallError`, which no code may ever cause; a call that fails by chance raises `HostError`,
before or after its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from reconciler.core.dns import fingerprint
from reconciler.core.health import Health, State, effective
from reconciler.core.model import (
    Container,
    Dead,
    Exited,
    ImageConfig,
    Observed,
    Running,
    SeenContainer,
    SeenImage,
    Volume,
    digest,
)
from reconciler.core.mounts import volumes_of
from reconciler.core.networking import Joint, Listener, Pairs, Resolver, SeenNetwork
from reconciler.core.oneshots import recalled
from reconciler.core.progress import Progress
from reconciler.core.reference import image_key
from reconciler.core.starting import Hook, When
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Draining, Good, Quarantine
from reconciler.errors import HostError
from reconciler.ports import Ports, Report
from tests.fake_networks import FakeFirewall, FakeNames, FakeNetworks, IllegalCallError
from tests.fake_revisions import FakeRevisions, refuse
from tests.fake_runs import FakeRuns


def image(reference: str, version: int = 1) -> SeenImage:
    """What a registry of the tests answers for `reference`."""
    return SeenImage(
        reference=reference,
        digest=f"sha256:{digest(f'{reference} {version}')}",
        named=f"sha256:{digest(f'{reference} {version}')}",
        id="sha256:0",
        layers=(),
        config=ImageConfig(),
    )


class FakeHost:
    """All ports and the observer over one host in memory. `fault()` says before and after each call if it fails."""

    def __init__(self, fault: Callable[[], bool] = lambda: False) -> None:
        self.fault = fault
        self.now = 1000.0
        self.collected_at: float | None = None  # no collection is due
        self.seen_images: dict[str, SeenImage] = {}
        self.stored: set[str] = set()  # digests of all that was ever pulled; a name may leave them behind
        self.moved: dict[str, int] = {}
        self.reports: list[Progress] = []  # what each pull reports
        self.bridges: dict[str, SeenNetwork] = {}
        self.folders: set[str] = set()
        self.exclusive: set[str] = set()
        self.containers: dict[str, SeenContainer] = {}
        self.attached: dict[str, frozenset[str]] = {}  # container id -> bridges
        self.table = ""
        self.guarded: tuple[str, ...] = ()
        self.resolvers: dict[str, Resolver] = {}
        self.names: dict[str, Pairs] = {}
        self.resolved: dict[str, tuple[tuple[str, ...], float]] = {}
        self.listeners: tuple[Listener, ...] = ()
        self.calls: list[str] = []
        self.made_from: dict[str, tuple[Container, SeenImage]] = {}  # by container id
        self.good: dict[str, Good] = {}
        self.quarantined: dict[str, Quarantine] = {}
        self.refused: dict[str, str] = {}  # by revision
        self.unfit: Callable[[Container], str] = lambda _: ""  # "made" or "started", which it cannot be
        self.removals: Removals | None = None
        self.runs = FakeRuns(self)

    def ports(self) -> Ports:
        return Ports(
            images=self,
            bundles=_Bundles(self),
            runtime=self,
            revisions=FakeRevisions(self),
            runs=self.runs,
            networks=FakeNetworks(self),
            firewall=FakeFirewall(self),
            names=FakeNames(self),
            volumes=_Volumes(self),
        )

    def observe(self) -> Observed:
        return Observed(
            images=dict(self.seen_images),
            networks=dict(self.bridges),
            volumes=frozenset(self.folders),
            containers=recalled({id: self.with_links(seen) for id, seen in self.containers.items()}, self.runs.ended),
            ruleset=digest(self.table) if self.table else "",
            guarded=self.guarded,
            resolvers={name: fingerprint(resolver) for name, resolver in self.resolvers.items()},
            names=dict(self.names),
            resolved=dict(self.resolved),
            listeners=self.listeners,
            collected_at=self.collected_at,
            good=dict(self.good),
            quarantined=dict(self.quarantined),
            refused=dict(self.refused),
            removals=self.removals,
            jobs=dict(self.runs.jobs),
            ended=dict(self.runs.ended),
        )

    def with_links(self, seen: SeenContainer) -> SeenContainer:
        return replace(seen, disconnected="" if self.connected(seen) else "its link is gone")

    def connected(self, seen: SeenContainer) -> bool:
        bridges = {network.bridge for network in self.bridges.values()}
        elsewhere = seen.host_network or bool(seen.shares)
        return elsewhere or {end.bridge for end in seen.endpoints} <= self.attached.get(seen.id, frozenset()) & bridges

    def call(self, name: str, act: Callable[[], object]) -> None:
        """Every port call passes here."""
        self.calls.append(name)
        if self.fault():
            raise HostError(f"cannot {name}: injected before")
        act()
        if self.fault():
            raise HostError(f"cannot {name}: injected after")

    def get(self, id: str) -> SeenContainer:
        if id not in self.containers:
            raise IllegalCallError(f"no container {id[:12]}")
        return self.containers[id]

    def put(self, id: str, **changes: object) -> None:
        self.containers[id] = replace(self.get(id), **changes)  # type: ignore[arg-type]

    # --- Images and Runtime ---

    def pull(self, reference: str, report: Report, platform: str = "") -> None:
        key = image_key(reference, platform)
        for progress in self.reports:
            report(progress)
        self.call(f"pull {key}", lambda: self.seen_images.update({key: self.answer(reference, platform)}))

    def check(self, reference: str, report: Report, platform: str = "") -> None:
        key = image_key(reference, platform)
        if key not in self.seen_images:
            raise IllegalCallError(f"check of {key}, which is not here")
        self.seen_images[key] = replace(self.seen_images[key], tried_at=self.now)
        self.call(f"check {key}", lambda: self.seen_images.update({key: self.answer(reference, platform)}))

    def answer(self, reference: str, platform: str) -> SeenImage:
        """What the registry has now; `moved` counts how often it got another image for a tag."""
        found = image(reference, 1 + self.moved.get(reference, 0))
        self.stored.add(found.digest)
        return replace(found, platform=platform, checked_at=self.now, tried_at=self.now)

    def collect(self, references: Collection[str], digests: Collection[str], age: float) -> None:
        used = {seen.image_digest for seen in self.containers.values()}
        if not used <= set(digests):
            raise IllegalCallError("an image in use is thrown away")

        def throw_away() -> None:
            kept = {
                key: image for key, image in self.seen_images.items() if image.digest in digests or key in references
            }
            self.seen_images, self.collected_at = kept, self.now

        self.call("collect", throw_away)

    def start(self, id: str, restarts: int, failures: int) -> None:
        seen = self.get(id)
        if isinstance(seen.state, Running) or not seen.mounted or not self.connected(seen):
            raise IllegalCallError(f"start of {seen.name} in state {seen.state}")
        lender = self.containers.get(seen.shares)
        if seen.shares and (lender is None or not self.connected(lender)):
            raise IllegalCallError(f"start of {seen.name} in a network namespace that is gone")
        if seen.egress is not None and seen.address and seen.address not in self.table:
            raise IllegalCallError(f"start of {seen.name} before the ruleset says where it may connect to")
        if seen.revision in self.quarantined:
            raise IllegalCallError(f"start of {seen.name}, whose revision is in quarantine")
        for other in self.containers.values():
            if isinstance(other.state, Running) and set(other.volumes) & set(seen.volumes) & self.exclusive:
                raise IllegalCallError(f"{seen.name} and {other.name} use one exclusive volume")
        refuse(self, self.made_from[id][0], "started", seen.revision)
        left = (*seen.leftovers, "run") if isinstance(seen.state, Exited) else seen.leftovers
        running = Running(pid=1, since=self.now)
        self.call(
            f"start {seen.name}",
            lambda: self.put(
                id,
                state=running,
                restarts=restarts,
                failures=failures,
                leftovers=left,
                hooked=frozenset(),
                draining=None,
                health=Health(since=self.now) if seen.healthcheck else None,
            ),
        )

    def run_hooks(self, id: str, when: When, hooks: tuple[Hook, ...], seconds: float) -> None:
        seen = self.get(id)
        if not isinstance(seen.state, Running) or when in seen.hooked:
            raise IllegalCallError(f"{when} of {seen.name} in state {seen.state}")
        done = frozenset({*seen.hooked, when})
        try:
            self.call(f"{when} of {seen.name}", lambda: self.put(id, hooked=done))
        except HostError:
            if when == "pre_stop":
                self.put(id, hooked=done)
            raise

    def stop(self, id: str, signal: str) -> None:
        seen = self.get(id)
        if not isinstance(seen.state, Running):
            raise IllegalCallError(f"stop of {seen.name}, which does not run")
        if seen.hooks.pre_stop and "pre_stop" not in seen.hooked:
            raise IllegalCallError(f"stop of {seen.name} before its hooks")
        stopping = replace(seen.state, stop_sent=self.now)
        self.call(f"stop {seen.name}", lambda: self.put(id, state=stopping))

    def drain(self, id: str, successor: str) -> None:
        noted = Draining(successor=successor, since=self.now)
        self.call(f"drain {self.get(id).name}", lambda: self.put(id, draining=noted))

    def kill(self, id: str) -> None:
        seen = self.get(id)
        self.call(f"kill {seen.name}", lambda: self.end(id, 137))

    def clean(self, id: str) -> None:
        self.call(f"clean {self.get(id).name}", lambda: self.put(id, leftovers=()))

    # --- what happens to a host ---

    def end(self, id: str, code: int) -> None:
        """The container's first process ends."""
        state = self.get(id).state
        since, stopped = (state.since, state.stop_sent is not None) if isinstance(state, Running) else (self.now, False)
        self.put(id, state=Exited(code=code, at=self.now, since=since, stopped=stopped))

    def answer_probes(self, ill: Callable[[str], bool] = lambda _: False) -> None:
        """Every container that is asked answers: unhealthy those whose name is `ill`, all others healthy."""
        for id, seen in list(self.containers.items()):
            if isinstance(seen.state, Running) and seen.healthcheck is not None and seen.health is not None:
                state: State = "unhealthy" if ill(seen.name) else "healthy"
                if seen.health.state != state:
                    first = seen.health.first if ill(seen.name) else self.now
                    self.put(id, health=Health(state=state, since=self.now, first=first))

    def obey_stops(self) -> None:
        """Every container that was asked to stop does."""
        for id, seen in list(self.containers.items()):
            if isinstance(seen.state, Running) and seen.state.stop_sent is not None:
                self.end(id, 143)

    def reboot(self) -> None:
        """Everything in memory is gone; files stay."""
        self.bridges.clear()
        self.attached.clear()
        self.table, self.guarded = "", ()
        self.resolvers.clear()
        self.names.clear()
        self.resolved.clear()
        self.refused.clear()
        for id in self.containers:
            self.put(id, state=Dead(), mounted=False, leftovers=(), health=None, hooked=frozenset())


class _Bundles:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def create(self, id: str, container: Container, revision: str, image: SeenImage, joint: Joint) -> None:
        host = self.host
        if id in host.containers or image.digest not in host.stored:
            raise IllegalCallError(f"create of {container.name}")
        taken = {(end.network.name, end.ipv4) for seen in host.containers.values() for end in seen.endpoints}
        for end in joint.endpoints:
            if (end.network.name, end.ipv4) in taken:
                raise IllegalCallError(f"address {end.ipv4} is given twice")
        if joint.shares and joint.shares not in host.containers:
            raise IllegalCallError(f"{container.name} joins {joint.shares[:12]}, which does not exist")
        refuse(host, container, "made", revision)
        seen = SeenContainer(
            id=id, name=container.name, app=container.app, service=container.service, replica=container.replica,
            spec=container.spec, revision=revision, image=container.image, image_digest=image.digest,
            endpoints=joint.endpoints, nameservers=joint.nameservers, dns=container.dns,
            host_network=container.host_network, shares=joint.shares,
            egress=container.egress, stop_signal=container.stop_signal or "SIGTERM",
            stop_grace_period=container.stop_grace_period, state=Dead(), created_at=host.now,
            volumes=volumes_of(container), ports=container.ports, restart=container.restart, hooks=container.hooks,
            depends_on=container.depends_on, scheduled=container.scheduled,
            healthcheck=effective(container.healthcheck, image.config.healthcheck),
        )  # fmt: skip
        host.made_from[id] = (container, image)
        host.call(f"create {container.name}", lambda: host.containers.update({id: seen}))

    def mount(self, id: str) -> None:
        self.host.call(f"mount {self.host.get(id).name}", lambda: self.host.put(id, mounted=True))

    def remove(self, id: str) -> None:
        seen = self.host.containers.get(id)
        if seen is None:
            return
        if isinstance(seen.state, Running) or id in self.host.attached:
            raise IllegalCallError(f"remove of {seen.name} in state {seen.state}")
        self.host.call(f"remove {seen.name}", lambda: self.host.containers.pop(id))

    def rotate_log(self, id: str) -> None:
        self.host.call("rotate", lambda: self.host.put(id, log_bytes=0))


class _Volumes:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def create(self, volume: Volume) -> None:
        if volume.external:
            raise IllegalCallError(f"an external volume is made: {volume.name}")
        self.host.call(f"volume {volume.name}", lambda: self.host.folders.add(volume.name))
