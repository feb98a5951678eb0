"""The only place that constructs things: adapters, readers, pools, the loop, the socket.

`build(settings)` gives a whole daemon, `observer(settings)` just enough to look. Nothing is decided here; called by
the verbs of the command line.
"""

from __future__ import annotations

import fcntl
import os
import platform
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from reconciler.api.server import Server, serve
from reconciler.core.names import NAMES, RULES, SPECS
from reconciler.core.progress import Progress
from reconciler.core.scene import Policy
from reconciler.core.status import Host, Snapshot
from reconciler.daemon.events import Events
from reconciler.daemon.loop import Loop, Specs, Surroundings
from reconciler.daemon.probes import Probes, Ways
from reconciler.daemon.queue import Queue, Retries
from reconciler.daemon.recorder import Recorder
from reconciler.daemon.watch import Watch
from reconciler.daemon.workers import Workers
from reconciler.errors import HostError
from reconciler.host import health, refused
from reconciler.host.bundles import ContainerBundles
from reconciler.host.cgroups import Cgroups, detect
from reconciler.host.doorbells import drain, open_rules_doorbell
from reconciler.host.firewall import Nftables
from reconciler.host.history import HistoryFiles
from reconciler.host.images.store import ImageStore
from reconciler.host.listeners import listening
from reconciler.host.lookup import Lookup
from reconciler.host.names import DnsmasqNames
from reconciler.host.networks import BridgeNetworks
from reconciler.host.observe import Observer, Readers
from reconciler.host.observe.containers import ContainerReader
from reconciler.host.observe.links import LinkReader
from reconciler.host.observe.names import NameReader
from reconciler.host.obstacles import Obstacles
from reconciler.host.reach import connect
from reconciler.host.resolvers import Places
from reconciler.host.revisions import RevisionFiles
from reconciler.host.runfiles import RunFiles
from reconciler.host.runtime import OciRuntime
from reconciler.host.versions import runtime_version
from reconciler.host.volumes import VolumeFolders
from reconciler.ports import Ports
from reconciler.settings import Settings
from reconciler.sources.specs import Specs as SpecFiles

STOP_TIME = 5.0  # seconds that tasks have to end when the daemon is stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """Everything that runs. `start` and `stop` are for what runs beside the loop."""

    loop: Loop
    queue: Queue
    watch: Watch
    server: Server
    workers: Workers
    probes: Probes
    recorder: Recorder

    def start(self) -> None:
        """Begin to listen to files and clients."""
        self.watch.start()
        self.server.start()
        self.probes.start()

    def stop(self) -> None:
        """End what was started, and give tasks a moment; the containers stay. A pull is taken up again another day."""
        self.server.stop()
        self.probes.stop()
        self.watch.stop()
        self.workers.wait(STOP_TIME)
        self.recorder.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """One of each."""

    images: ImageStore
    volumes: VolumeFolders
    firewall: Nftables
    containers: ContainerReader
    links: LinkReader
    names: NameReader
    lookup: Lookup
    revisions: RevisionFiles
    runs: RunFiles
    cgroups: Cgroups
    observer: Observer


def adapters(settings: Settings) -> Adapters:
    """Enough to look at the host; nothing of it is changed by making them."""
    images, volumes, firewall = ImageStore(settings), VolumeFolders(settings), Nftables(settings)
    cgroups = detect(settings.instance, settings.cgroup_driver)
    containers, links = ContainerReader(settings, cgroups), LinkReader(settings)
    lookup = Lookup(Places(settings.run).resolved)
    names = NameReader(settings, lookup.known)
    revisions, runs = RevisionFiles(settings), RunFiles(settings)
    readers = Readers(
        images=images.seen,
        usage=images.usage,
        mirrors=images.mirrors,
        volumes=volumes.seen,
        containers=containers,
        links=links.look,
        ruleset=firewall.look,
        guarded=firewall.guarded,
        obstacles=Obstacles(settings).look,
        names=names.look,
        revisions=revisions.look,
        refused=partial(refused.read, settings),
        removals=revisions.removals,
        runs=runs.look,
        listeners=listening,
    )
    return Adapters(
        images=images,
        volumes=volumes,
        firewall=firewall,
        containers=containers,
        links=links,
        names=names,
        lookup=lookup,
        revisions=revisions,
        runs=runs,
        cgroups=cgroups,
        observer=Observer(readers),
    )


def policy(settings: Settings, started: float = 0.0) -> Policy:
    """The settings that decisions depend on; `started` is when the daemon did."""
    return Policy(
        instance=settings.instance,
        address_pool=settings.address_pool,
        network_prefix=settings.network_prefix,
        log_size=settings.logs.size,
        disk_limit=settings.image_disk / 100,
        image_age=float(settings.image_age),
        restart_unhealthy=settings.restart_unhealthy,
        max_removal=settings.max_removal,
        started=started,
        mark=settings.packet_mark,
    )


def specs(settings: Settings) -> Callable[[], Specs]:
    """How the specs are read, and what the apps were called when their specs were last good."""
    found = SpecFiles(settings.specs)

    def load() -> Specs:
        documents, unavailable = found.load()
        return Specs(documents, unavailable, found.apps, found.lock, found.doubtful, found.tombstones)

    return load


def registries(settings: Settings) -> Callable[[str], str]:
    """What a tag names in its registry now, as a digest."""
    return ImageStore(settings).current_digest


def _ports(
    settings: Settings, found: Adapters, bundles: ContainerBundles, runtime: OciRuntime, networks: BridgeNetworks
) -> Ports:
    return Ports(
        images=found.images,
        bundles=bundles,
        runtime=runtime,
        revisions=found.revisions,
        runs=found.runs,
        networks=networks,
        names=DnsmasqNames(settings, found.cgroups, found.lookup),
        firewall=found.firewall,
        volumes=found.volumes,
    )


def build(settings: Settings, load: Callable[[], Specs], show: Callable[[Progress], None]) -> Daemon:
    """A daemon over the host of this machine. `show` is called from worker threads while images are pulled."""
    found = adapters(settings)
    bundles = ContainerBundles(settings, found.images.lower, found.cgroups)
    found.images.recover()
    bundles.sweep()
    networks = BridgeNetworks(settings)
    networks.sweep()
    runtime = OciRuntime(settings, found.cgroups)
    queue, workers = Queue(), Workers(settings.workers, "worker")
    note, history = partial(health.write, settings), HistoryFiles(settings)
    recorder = Recorder(history, settings.history, time.time)
    probes = Probes(Ways(note=note, command=runtime.ask, connect=connect, ring=queue.add))
    around = Surroundings(
        load=load,
        observe=found.observer.look,
        ports=_ports(settings, found, bundles, runtime, networks),
        queue=queue,
        retries=Retries(random.random),
        events=Events(Snapshot(at=time.time()), history.read),
        recorder=recorder,
        workers=workers,
        pulls=Workers(settings.pulls, "pull"),
        policy=policy(settings, time.time()),
        host=describe(settings, found.cgroups),
        resync=settings.resync,
        doorbells={**found.links.doorbells(), **_rules_doorbell(), **_names_doorbell(found.names)},
        monitors=found.containers.monitors,
        probe=probes.look,
        anticipate=runtime.anticipate,
        show=show,
    )
    return Daemon(
        loop=Loop(around),
        queue=queue,
        watch=Watch(settings.specs, lambda: queue.add(SPECS)),
        server=serve(around.events, settings),
        workers=workers,
        probes=probes,
        recorder=recorder,
    )


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold the lock of the state directory: one daemon, or one `down`, at a time. Freed by the kernel at any death."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        settings.state.chmod(0o700)  # also when somebody else made it: nobody but root looks into containers
        fd = os.open(settings.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why = "that needs root" if isinstance(error, PermissionError) else (error.strerror or "").lower()
        raise HostError(f"cannot use {settings.state}: {why}") from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise HostError(
                f"cannot use {settings.state}: another reconciler (process {owner}) works on it; stop that one first"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def sweep(settings: Settings) -> None:
    """Take away what no container needs any more once all are gone: the run directory and our control groups."""
    detect(settings.instance, settings.cgroup_driver).remove()
    shutil.rmtree(settings.run, ignore_errors=True)


def describe(settings: Settings, cgroups: Cgroups) -> Host:
    """What does not change while the daemon runs."""
    release = platform.freedesktop_os_release()
    return Host(
        name=platform.node(),
        kernel=platform.release(),
        operating_system=release.get("PRETTY_NAME", "Linux"),
        architecture=platform.machine(),
        processors=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        runtime=settings.runtime,
        runtime_version=runtime_version(settings.runtime),
        cgroup_version=2 if cgroups.unified else 1,
        cgroup_driver=cgroups.driver,
        state_directory=str(settings.state),
        daemon_started=time.time(),
    )


def _names_doorbell(reader: NameReader) -> dict[int, Callable[[], str]]:
    """Rings for the end of a resolver, and for a record that changed."""

    def rang() -> str:
        reader.drain()
        return NAMES

    return {reader.fileno(): rang}


def _rules_doorbell() -> dict[int, Callable[[], str]]:
    """The kernel's own notice of changed rules."""
    rules = open_rules_doorbell()

    def rang() -> str:
        drain(rules)
        return RULES

    return {rules.fileno(): rang}
