"""One machine for the program under test: namespaces that boot, lose power and boot again, and a disk that stays.

Inside are an own network, own mounts, own processes, own `/run` and `/etc`, an own boot id; the cgroup tree is the
only thing that is shared with the machine that runs the tests, below the name of the instance. What is asked here
about the state of the machine is asked of the kernel and its tools, never of the program under test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from functools import partial
from pathlib import Path

from tests.end_to_end.namespaces import MACHINE, Namespaces, until
from tests.end_to_end.registry import ADDRESS, NAME, Registry

CGROUPS = Path("/sys/fs/cgroup")
RUN = Path("/run/reconciler")
OWN_PROCESSES = ("tini -- sleep infinity", "sleep infinity", "ps -e")

SETUP = """
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup /run/lock
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup
mkdir -p /run/etc/work
cp -r {disk}/etc /run/etc/upper
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
mount --bind {disk}/boot_id /proc/sys/kernel/random/boot_id
hostname machine
"""

SETTINGS = """
instance = "{instance}"
specs = "{disk}/specs"
state = "{disk}/state"
run_directory = "{run}"
insecure_registries = ["{registry}"]
registry_ca = "{ca}"
"""


class Machine:
    """A machine in the registry's network, at `address`. `disk` is what outlives a reboot; `inside` is this boot."""

    address = "10.99.0.2"

    def __init__(self, network: Namespaces, registry: Registry, disk: Path) -> None:
        self.network = network
        self.disk = disk
        self.state = disk / "state"
        self.instance = f"test-{uuid.uuid4().hex[:8]}"
        for name in ("specs", "etc/reconciler"):
            (disk / name).mkdir(parents=True)
        (disk / "etc/hosts").write_text(f"127.0.0.1 localhost machine\n{ADDRESS} {NAME}\n")
        settings = SETTINGS.format(instance=self.instance, disk=disk, run=RUN, registry=registry.http, ca=registry.ca)
        (disk / "etc/reconciler/reconciler.toml").write_text(settings)
        self.boot()

    # --- power ---------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Switch it on: nothing runs, `/run` is empty, there are no links and no rules."""
        (self.disk / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self.inside = Namespaces(MACHINE, SETUP.format(disk=self.disk))
        self.network.join(self.inside, f"{ADDRESS}/24", f"{self.address}/24")
        self.inside.run("ip", "route", "add", "default", "via", ADDRESS)

    def power_off(self) -> None:
        """Cut the power: nothing is asked to end. Cgroups do not outlive a boot, so they go too."""
        self.inside.end()
        for cgroup in sorted(self.cgroups(), key=lambda path: len(path.parts), reverse=True):
            until(partial(_remove, cgroup), f"{cgroup} is empty")

    def reboot(self) -> None:
        """Cut the power and switch it on again."""
        self.power_off()
        self.boot()

    def end(self) -> None:
        """Leave nothing of it on the machine that runs the tests."""
        self.power_off()
        shutil.rmtree(self.disk)

    # --- what is on it -------------------------------------------------------------------------------------

    def path(self, inside: Path) -> Path:
        """How the test reaches a file of the machine, such as one in its `/run`."""
        return self.inside.root / inside.relative_to("/")

    def links(self, kind: str = "") -> set[str]:
        """Names of its links (of one kind, such as `bridge`), but for the loopback and the cable to the network."""
        own = ("type", kind) if kind else ()
        listed = json.loads(self.inside.run("ip", "-json", "link", "show", *own))
        return {entry["ifname"] for entry in listed if entry} - {"lo", f"to-{self.network.pid}"}

    def tables(self) -> set[tuple[str, str]]:
        """Family and name of every nftables table."""
        listed = json.loads(self.inside.run("nft", "--json", "list", "tables"))["nftables"]
        return {(entry["table"]["family"], entry["table"]["name"]) for entry in listed if "table" in entry}

    def routing_rules(self) -> list[str]:
        """Rules of policy routing but for the three that every network namespace begins with."""
        lines = [line for version in ("-4", "-6") for line in self.inside.run("ip", version, "rule").splitlines()]
        return [line for line in lines if not re.search("from all lookup (local|main|default)$", line.strip())]

    def mounts(self) -> list[str]:
        """Mount points below the program's state and run directories, and the pinned namespaces of `ip netns`."""
        lines = Path(f"/proc/{self.inside.pid}/mountinfo").read_text().splitlines()
        points = (line.split()[4] for line in lines)
        return sorted(point for point in points if point.startswith((str(self.state), f"{RUN}/", "/run/netns")))

    def processes(self) -> dict[int, str]:
        """Process id inside -> command line, of everything but the machine's own two processes and this question."""
        listed = self.inside.run("ps", "-e", "-o", "pid=,args=").splitlines()
        found = {int(pid): command for pid, command in (line.strip().split(None, 1) for line in listed)}
        return {
            pid: line for pid, line in found.items() if not line.startswith(("tini -- sleep", "sleep inf", "ps -e"))
        }

    def cgroups(self) -> list[Path]:
        """Folders of the cgroup tree that carry the name of the instance, and those below them.

        Other groups come and go meanwhile: `os.walk` passes over what is gone, where `Path.rglob` would raise.
        """
        return [Path(folder) for folder, _, _ in os.walk(CGROUPS) if self.instance in folder]

    def leftovers(self) -> dict[str, object]:
        """Whatever can still be seen of containers on this machine; the frozen list of what `down` must take away."""
        seen = {
            "processes": sorted(self.processes().values()),
            "links": sorted(self.links()),
            "tables": sorted(self.tables()),
            "rules": self.routing_rules(),
            "mounts": self.mounts(),
            "cgroups": self.cgroups(),
            "containers": _names(self.state / "containers"),
            "run": [name for name in _names(self.path(RUN)) if name != "lock"],
        }
        return {what: found for what, found in seen.items() if found}

    def is_clean(self) -> bool:
        """Whether nothing is left; raises with what is."""
        left = self.leftovers()
        assert not left, left
        return True


def _remove(cgroup: Path) -> bool:
    if cgroup.exists():
        cgroup.rmdir()
    return True


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
