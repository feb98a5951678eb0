"""A container host for tests: real overlay, conmon and runtime, all below one folder and one cgroup of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.core.model import (
    Container,
    Exited,
    ImageConfig,
    SeenContainer,
    SeenImage,
    State,
)
from reconciler.core.networking import Joint
from reconciler.host import cgroups, overlay, syscalls
from reconciler.host.bundles import ContainerBundles
from reconciler.host.observe.containers import ContainerReader
from reconciler.host.run import run
from reconciler.host.runtime import OciRuntime
from reconciler.settings import LogLimits, Settings

_counter = itertools.count(1)
IMAGE = SeenImage(
    reference="busybox",
    digest="sha256:" + "1" * 64,
    id="sha256:" + "2" * 64,
    layers=("sha256:" + "3" * 64,),
    config=ImageConfig(command=("sh",), environment=("FROM_IMAGE=1",)),
)
SHELL = ("/bin/busybox", "sh", "-c")
TRAP = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"


def until(done: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for a state of the host that no event tells of."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def container(script: str = "exec sleep 1000", **changes: object) -> Container:
    """A container of the test image that runs `script`."""
    base = Container(
        name="app-web-1",
        app="app",
        service="web",
        replica=1,
        spec="app.yaml",
        image="busybox",
        entrypoint=(*SHELL, script),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def busybox_layer(folder: Path) -> None:
    """A root file system that consists of busybox-static, with accounts."""
    for name in ("bin", "etc", "tmp", "data", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2("/bin/busybox", folder / "bin/busybox")
    for name in run(["/bin/busybox", "--list"]).split():
        with contextlib.suppress(FileExistsError):
            (folder / "bin" / name).symlink_to("busybox")
    (folder / "tmp").chmod(0o1777)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home/web:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nwheel:x:10:root,web\nweb:x:1000:\n")


def joined(log: str) -> str:
    """What was written: the log's lines without time and stream, those marked P joined with what follows."""
    entries = (line.split(" ", 3) for line in log.splitlines())
    return "".join(entry[3] + ("\n" if entry[2] == "F" else "") for entry in entries)


@dataclass
class Host:
    """All parts that concern containers, wired as the daemon wires them."""

    settings: Settings
    layers: Path
    names: tuple[str, ...] = ("base",)
    image: SeenImage = IMAGE
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cgroups = cgroups.detect(self.settings.instance, self.settings.cgroup_driver)
        self.bundles = ContainerBundles(self.settings, lambda _: (self.layers, self.names), self.cgroups)
        self.runtime = OciRuntime(self.settings, self.cgroups)
        self.reader = ContainerReader(self.settings, self.cgroups)

    def create(self, wanted: Container, id: str = "") -> str:
        id = id or f"{next(_counter):064x}"
        self.made.append(id)
        self.pin(id)
        self.bundles.create(id, wanted, "r" * 64, self.image, Joint())
        return id

    def start(self, wanted: Container) -> str:
        id = self.create(wanted)
        self.runtime.start(id, 0, 0)
        return id

    def pin(self, id: str) -> None:
        """What `Networks.connect` does for a container without a network."""
        pin = self.settings.run / "netns" / id
        pin.parent.mkdir(parents=True, exist_ok=True)
        pin.touch()

        def bind() -> None:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            syscalls.mount(f"/proc/self/task/{threading.get_native_id()}/ns/net", str(pin), "", syscalls.MS_BIND)

        thread = threading.Thread(target=bind)
        thread.start()
        thread.join()

    def see(self, id: str) -> SeenContainer:
        return self.reader.look(frozenset({id}))[id]

    def state(self, id: str) -> State:
        return self.see(id).state

    def wait(self, id: str, timeout: float = 20.0) -> Exited:
        """Wait for the end of the monitor, as the daemon does."""
        deadline = time.monotonic() + timeout
        while not isinstance(state := self.state(id), Exited):
            descriptors = [fd for fd, of in self.reader.monitors().items() if of == id]
            select.select(descriptors, [], [], max(0.0, min(1.0, deadline - time.monotonic())))
            assert time.monotonic() < deadline, f"it did not end: {state}"
        return state

    def output(self, wanted: Container, code: int = 0) -> str:
        """Run to the end and return what was written."""
        id = self.start(wanted)
        ended = self.wait(id)
        text = self.log(id)
        assert ended.code == code, (ended, text)
        return text

    def wait_for_log(self, id: str, text: str, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.log(id):
            assert time.monotonic() < deadline, f"{text!r} never came: {self.log(id)!r}"
            time.sleep(0.005)

    def log(self, id: str) -> str:
        return joined((self.settings.containers / id / "log" / "container.log").read_text())

    def destroy(self) -> None:
        """Take everything off the host, whatever state the test left it in."""
        for id in self.made:
            with contextlib.suppress(Exception):
                self.runtime.kill(id)
        for id in self.made:
            with contextlib.suppress(Exception):
                self._remove(id)
        for mount in self._mounts():
            overlay.unmount(Path(mount))
        self.reader.close()
        self.cgroups.remove()

    def _remove(self, id: str) -> None:
        deadline = time.monotonic() + 10
        while self.runtime.live(id) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.runtime.clean(id)
        self.bundles.remove(id)

    def _mounts(self) -> list[str]:
        text = Path("/proc/self/mountinfo").read_text()
        below = str(self.settings.state.parent)
        return [line.split()[4] for line in text.splitlines() if line.split()[4].startswith(below)]


def make_host(folder: Path, **changes: object) -> Host:
    """A host below `folder`."""
    base = Settings(
        instance=f"rt-{os.getpid()}-{next(_counter)}",
        state=folder / "state",
        run=folder / "run",
        logs=LogLimits(size=4096, files=3),
    )
    settings = replace(base, **changes)  # type: ignore[arg-type]
    layers = folder / "layers"
    busybox_layer(layers / "base")
    settings.volumes.mkdir(parents=True)
    return Host(settings, layers)


@contextlib.contextmanager
def hosting(folder: Path, **changes: object) -> Iterator[Host]:
    """A host that is taken away in the end."""
    made = make_host(folder, **changes)
    try:
        yield made
    finally:
        made.destroy()
