"""`python -m tests.bench.pull`: cold pulls from a registry on loopback, beside docker and podman (T5, T5m). Needs root.

The same images for everybody, taken in turns, every store on one fresh file system; CPU seconds are those of the
contender's processes and their children, the registry's are not counted. A ratio of medians is what counts: absolute
times change with the hour.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from backports import zstd

from tests.bench import cgroups, store
from tests.host.images.builder import Member, build_layout, folder, packed, tar
from tests.host.images.registries import push, running_registry

MIB = 1 << 20
Pull = Callable[[str, Path], tuple[float, float]]


# --- images --------------------------------------------------------------------------------------------------------


def build(layout: Path) -> None:
    """tiny: 1 layer of 1.3 MB. mid: 6 layers, 300 MB in 13,000 files; midz: in zstd. many: 50,000 files."""
    chance = random.Random(5)
    text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    mid = [layer(chance, text, number, 2200, 45_000) for number in range(6)]
    build_layout(layout, "tiny", [[Member("app", chance.randbytes(1_300_000), mode=0o755)]])
    build_layout(layout, "mid", [packed(content) for content in mid])
    build_layout(layout, "midz", [zstd.compress(content, 3) for content in mid])
    build_layout(layout, "many", [packed(layer(chance, text, number, 25_000, 3000)) for number in range(2)])


def layer(chance: random.Random, text: bytes, number: int, files: int, largest: int) -> bytes:
    """Program text with some noise in it, in folders of a hundred files, packing to about a third."""
    members = []
    for file in range(files):
        if file % 100 == 0:
            members.append(folder(f"{number}/{file // 100}"))
        size = chance.randrange(largest // 10, largest)
        at = chance.randrange(len(text) - size)
        content = text[at : at + size * 4 // 5] + chance.randbytes(size // 5)
        members.append(Member(f"{number}/{file // 100}/{file}", content, mode=0o755 if file % 9 == 0 else 0o644))
    return tar(*members)


# --- contenders ----------------------------------------------------------------------------------------------------

OURS = """
import json, sys, time
from pathlib import Path
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
store = ImageStore(Settings(state=Path(sys.argv[1])))
store.recover()
before = time.process_time(), time.monotonic()
store.pull(sys.argv[2], lambda _: None)
print(json.dumps([before[0], time.monotonic() - before[1]]))
"""


class PullError(Exception):
    """A contender could not; what it said."""


class Counted:
    """A control group whose CPU seconds are told."""

    def __init__(self, groups: list[Path]) -> None:
        self._groups = groups
        self._counter = cgroups.counting(groups)

    def seconds(self) -> float:
        return cgroups.cpu_seconds(self._counter)

    def run(self, argv: list[str]) -> tuple[str, float, float]:
        """What it prints, and its wall and CPU seconds."""
        cpu, wall = self.seconds(), time.monotonic()
        done = subprocess.run(self.inside(argv), capture_output=True, text=True, check=False)
        if done.returncode:
            raise PullError(done.stderr.strip())
        return done.stdout, time.monotonic() - wall, self.seconds() - cpu

    def inside(self, argv: list[str]) -> list[str]:
        """`argv`, to be run in the group."""
        enter = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        return ["sh", "-euc", f'{enter} exec "$@"', "sh", *argv]


def reconciler(counted: Counted) -> Pull:
    """As the daemon does it: from a process that has long been started."""

    def pull(reference: str, top: Path) -> tuple[float, float]:
        said, _, cpu = counted.run([sys.executable, "-c", OURS, str(top), reference])
        started, wall = json.loads(said)
        return wall, cpu - started

    return pull


def podman(counted: Counted) -> Pull:
    """Starts anew for every pull, as it always does."""

    def pull(reference: str, top: Path) -> tuple[float, float]:
        with tempfile.TemporaryDirectory(dir="/run") as run:  # podman takes no long name there
            argv = ["podman", "--root", f"{top}/root", "--runroot", run, "pull", "-q", "--tls-verify=false", reference]
            return counted.run(argv)[1:]

    return pull


def docker(counted: Counted) -> Pull:
    """A daemon per pull, whose start is not counted."""

    def pull(reference: str, top: Path) -> tuple[float, float]:
        with dockerd(counted, top) as address:
            return counted.run(["docker", "-H", address, "pull", "-q", reference])[1:]

    return pull


@contextmanager
def dockerd(counted: Counted, top: Path) -> Iterator[str]:
    """A Docker daemon with its data in `top`; its address."""
    address = f"unix://{top}/d.sock"
    places = ["--data-root", f"{top}/data", "--exec-root", f"{top}/exec", "-p", f"{top}/pid", "-H", address]
    quiet = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    with (top / "log").open("wb") as log:
        daemon = subprocess.Popen(counted.inside(["dockerd", *places, *quiet]), stdout=log, stderr=log)
    try:
        while subprocess.run(["docker", "-H", address, "version"], capture_output=True, check=False).returncode:
            assert daemon.poll() is None, (top / "log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        daemon.terminate()
        daemon.wait(30)


CONTENDERS: dict[str, tuple[Callable[[Counted], Pull], str]] = {
    "reconciler": (reconciler, sys.executable),
    "podman": (podman, "podman"),
    "docker": (docker, "dockerd"),
}


# --- turns ---------------------------------------------------------------------------------------------------------


def measure(
    names: list[str], images: list[str], rounds: int, top: Path
) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Image -> contender -> wall and CPU seconds of each round."""
    build(top / "layout")
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with ExitStack() as stack:
        groups = cgroups.make(f"bench-pull-{os.getpid()}")
        for group in groups:
            stack.callback(cgroups.remove, group)
        host = stack.enter_context(running_registry(top / "registry"))
        pulls = {name: CONTENDERS[name][0](Counted(groups)) for name in names}
        for image in images:
            push(top / "layout", image, f"{host}/{image}:1")
            for number in range(rounds):
                for name, pull in pulls.items():
                    place = top / f"{image}-{name}-{number}"
                    place.mkdir()
                    os.sync()
                    try:
                        found.setdefault(image, {}).setdefault(name, []).append(pull(f"{host}/{image}:1", place))
                    except PullError as error:
                        print(f"without {name} for {image}: {error}", file=sys.stderr)
                    subprocess.run(["rm", "-rf", "--one-file-system", place], check=False)
    return found


def table(found: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    """Medians, and how many times ours the others take."""
    lines = ["image      contender       wall s    CPU s    times ours"]
    for image, by_name in found.items():
        medians = {
            name: [statistics.median(column) for column in zip(*runs, strict=True)]
            for name, runs in by_name.items()
            if runs
        }
        ours = medians.get("reconciler", [1.0, 1.0])
        lines += [
            f"{image:10} {name:12} {wall:9.2f} {cpu:8.2f}    {wall / ours[0]:.2f} {cpu / ours[1]:.2f}"
            for name, (wall, cpu) in medians.items()
        ]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pull", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", default="tiny,mid,midz,many")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the loop file lies")
    options = parser.parse_args()
    names = [name for name, (_, program) in CONTENDERS.items() if shutil.which(program)]
    with store.fresh(options.directory) as (top, what):
        print(f"stores on {what}, {options.rounds} rounds in turns")
        print(table(measure(names, options.images.split(","), options.rounds, top)))


if __name__ == "__main__":
    main()
