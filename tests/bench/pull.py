"""T5: cold pulls from a registry on loopback, and what a second version of an image costs.

Everybody pulls the same images from the same registry, taken in turns, each time into an empty store on the same
fresh file system. The registry and the contenders are in a network namespace of their own, so that the bytes on its
loopback are those that were fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import cgroups, images, kernel
from tests.bench.cell import TICKS, process_cpu
from tests.bench.measures import SETTLE, Sample, machine_busy
from tests.bench.pullers import Floor, Group, Puller, PullError, Reconciler
from tests.host.images.registries import push, running_registry

LOOK = 0.02  # seconds between looks at the memory


@dataclass(frozen=True, slots=True)
class Cold:
    """What is to be measured: who (with the other root they run in, if any), which images, how often."""

    pullers: Sequence[tuple[type[Puller], Path | None]]
    images: Sequence[str]
    rounds: int

    def run(self, top: Path) -> list[Sample]:
        """All samples. Done in a thread, since it leaves the network of the host."""
        with ThreadPoolExecutor(1, initializer=leave_network) as thread:
            return thread.submit(lambda: list(self._run(top))).result()

    def _run(self, top: Path) -> Iterator[Sample]:
        images.build(top / "layout")
        with ExitStack() as stack:
            groups = cgroups.make(f"bench-{os.getpid()}-pull")
            for group in groups:
                stack.callback(cgroups.remove, group)
            host = stack.enter_context(running_registry(top / "registry"))
            for image in (*self.images, "next"):
                # or skopeo would take the layers of `mid`, which are there, for those of `mid-zstd`
                push(top / "layout", image, f"{host}/{image}:1", "--preserve-digests")
            roots = {root for _, root in self.pullers if root}
            for root in roots:
                share(top, root)
            pullers = [named(kind, root)(Group(groups, root)) for kind, root in self.pullers]
            for image in self.images:
                yield from self._turns(list(pullers), f"{host}/{image}:1", top)

    def _turns(self, pullers: list[Puller], reference: str, top: Path) -> Iterator[Sample]:
        for number in range(self.rounds):
            shift = number % max(1, len(pullers))
            for puller in [*pullers[shift:], *pullers[:shift]]:
                print(".", end="", file=sys.stderr, flush=True)
                try:
                    yield from once(puller, reference, top / f"{puller.name}-store")
                except PullError as error:
                    print(f"\nwithout {puller.name} for {reference}: {error}", file=sys.stderr)
                    pullers.remove(puller)


def named(kind: type[Puller], root: Path | None) -> type[Puller]:
    """`kind`, told apart by its name when it runs in another root."""
    return type(kind.__name__, (kind,), {"name": f"{kind.name}-{root.name}"}) if root else kind


def once(puller: Puller, reference: str, folder: Path) -> Iterator[Sample]:
    """One cold pull; of `mid` also the next version after it."""
    image = reference.rpartition("/")[2].removesuffix(":1")
    folder.mkdir()
    os.sync()
    try:
        with puller.ready(folder):
            yield from timed(puller, reference, image)
            if image == "mid" and not isinstance(puller, Floor):
                yield from timed(puller, reference.replace("/mid:", "/next:"), "next")
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)


def timed(puller: Puller, reference: str, image: str) -> Iterator[Sample]:
    """The figures of one pull."""
    watch = Watch(puller.group)
    with watch.running():
        grown = puller.pull(reference)
    figures = {"wall": watch.wall, "cpu": watch.cpu, "bytes": watch.fetched, "peak": watch.peak}
    if isinstance(puller, Reconciler):
        figures["growth"] = grown
    for metric, value in figures.items():
        yield Sample(f"T5 {image}", puller.name, metric, value, watch.foreign)


@dataclass(slots=True)
class Watch:
    """Wall and CPU seconds of a group, bytes that crossed loopback, the most memory that it had at once."""

    group: Group
    wall: float = 0.0
    cpu: float = 0.0
    foreign: float = 0.0
    fetched: int = 0
    peak: int = 0
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Wall time and memory of what happens inside; CPU until it has settled."""
        looking = threading.Thread(target=self._look)
        looking.start()
        own, cpu, busy, kernel_busy = time.process_time(), self.group.seconds(), machine_busy(), engine_room()
        fetched, begin = received(), time.perf_counter()
        try:
            yield
        finally:
            self.wall = time.perf_counter() - begin
            self._over.set()
            looking.join()
        time.sleep(SETTLE)
        self.fetched, self.cpu = received() - fetched, self.group.seconds() - cpu
        others = machine_busy() - busy - self.cpu - (time.process_time() - own) - (engine_room() - kernel_busy)
        self.foreign = max(0.0, others / (self.wall + SETTLE) / (os.cpu_count() or 1))

    def _look(self) -> None:
        while not self._over.wait(LOOK):
            self.peak = max(self.peak, self.group.memory())


def engine_room() -> float:
    """CPU seconds of the kernel's own threads, which write to the disk for everybody, and of the registry."""
    found = 0.0
    for entry in Path("/proc").iterdir():
        with suppress(OSError, IndexError, ValueError):
            if entry.name.isdigit():
                name, _, fields = (entry / "stat").read_text().rpartition(")")
                if fields.split()[1] == "2":
                    found += sum(map(int, fields.split()[11:13])) / TICKS
                elif "(docker-registry" in name:
                    found += process_cpu(int(entry.name))
    return found


def received() -> int:
    """Bytes that came in on loopback, in the network namespace of this thread."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


def leave_network() -> None:
    """A network namespace with nothing but loopback."""
    kernel.unshare(kernel.NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def share(top: Path, root: Path) -> None:
    """Make `top` seen in the unpacked release `root`, with what programs need; gone with our mount namespace."""
    for name in ("bin", "sbin", "lib", "lib64"):
        with suppress(FileExistsError):
            (root / name).symlink_to(f"usr/{name}")
    kernel.mount(str(root), str(root), flags=kernel.BIND | kernel.REC)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        kernel.mount("tmpfs", str(root / name), "tmpfs")
    for source in (top, Path("/proc"), Path("/sys"), Path("/dev"), Path("/run")):
        target = root / source.relative_to("/")
        target.mkdir(parents=True, exist_ok=True)
        kernel.mount(str(source), str(target), flags=kernel.BIND | kernel.REC)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
