"""`python -m tests.bench`: measures, prints the tables, writes the samples as JSON. Needs root."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tests.bench import changes, images, measures, network, ours, peers, pullers, report, store, workload
from tests.bench.contender import Contender
from tests.bench.measures import Crowd, Sample
from tests.bench.pull import Cold

CONTENDERS: tuple[tuple[type[Contender], tuple[str, ...]], ...] = (
    (ours.ReconcilerRunc, ("conmon", "runc", "dnsmasq")),
    (ours.ReconcilerCrun, ("conmon", "crun", "dnsmasq")),
    (ours.ReconcilerAlone, ("conmon", "crun", "dnsmasq")),
    (ours.ReconcilerOneFile, ("conmon", "crun", "dnsmasq")),
    (ours.FloorRunc, ("conmon", "runc")),
    (ours.FloorCrun, ("conmon", "crun")),
    (ours.FloorFast, ("conmon", "crun")),
    (peers.Docker, ("dockerd", "docker")),
    (peers.Podman, ("podman",)),
)
ALONE = ("T5", "T9")  # are measured of their own contenders
VERSIONS = ("runc", "crun", "conmon", "dockerd", "podman", "containerd")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="", help="measures, as T1,T6; T2, T3, T3c, T4, T7 and T8 come together")
    parser.add_argument("--contenders", default="", help="names or beginnings of names, as reconciler,docker")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions of T1 and T6; crowds have fewer")
    parser.add_argument("--sizes", default="10,50,100", help="of the crowds")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of idling that are measured, at the largest")
    parser.add_argument("--pulls", type=int, default=5, help="repetitions of T5")
    parser.add_argument("--networks", type=int, default=40, help="repetitions of T9")
    parser.add_argument("--images", default="tiny,mid,mid-zstd,many", help="that are pulled")
    parser.add_argument("--release", type=Path, help="a folder with docker, podman and ctr of another release")
    parser.add_argument("--quick", action="store_true", help="3 rounds, 10 and 30 containers, 5 s idle, 2 images")
    parser.add_argument("--compose", default="", help="a Compose v2 program, where docker does not know the plugin")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the loop file lies")
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="the samples and medians")
    parser.add_argument("--json", action="store_true", help="print them, and no tables")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.sizes, options.idle = 3, "10,30", 5.0
        options.pulls, options.images, options.networks = 3, "tiny,mid", 12
    return options


def chosen(prefixes: str) -> Iterator[type[Contender]]:
    """The contenders that were asked for and whose programs are installed."""
    wanted = tuple(prefixes.split(",")) if prefixes else ("",)
    for contender, programs in CONTENDERS:
        missing = [program for program in programs if shutil.which(program) is None]
        if contender.name.startswith(wanted) and missing:
            print(f"without {contender.name}: {', '.join(missing)} not installed", file=sys.stderr)
        elif contender.name.startswith(wanted):
            yield contender


def scenes(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[Sequence[Contender]], Iterator[Sample]]]]:
    """What is to be measured, in order."""
    wanted = set(filter(None, options.only.split(",")))
    sizes = [int(size) for size in options.sizes.split(",")]
    if not wanted or "T1" in wanted:
        yield (
            "T1",
            lambda contenders: measures.single(
                [contender for contender in contenders if not isinstance(contender, ours.ReconcilerOneFile)],
                options.rounds,
            ),
        )
    if not wanted or "T6" in wanted:
        yield "T6", lambda contenders: measures.repair(contenders, options.rounds)
    if not wanted or "T10" in wanted:
        yield "T10", lambda contenders: changes.update(contenders, options.rounds)
    if not wanted or "T11" in wanted:
        yield "T11", lambda contenders: changes.probing(contenders, options.idle)
    if not wanted or wanted - {"T1", "T6", "T10", "T11", *ALONE}:
        for size in sizes:
            rounds = max(2, options.rounds * 5 // size)
            crowd = Crowd(size, rounds, options.idle if size == max(sizes) else 0.0)
            yield f"{size} at once", crowd.run


def cold(options: argparse.Namespace) -> Cold:
    """The pulls that are to be measured."""
    wanted = tuple(options.contenders.split(","))
    here = [kind for kind in (*pullers.OWN, *pullers.PEERS) if all(map(shutil.which, kind.programs))]
    chosen = [(kind, None) for kind in here if kind.name.startswith(wanted)]
    there = [(kind, options.release) for kind in pullers.PEERS if options.release and kind.name.startswith(wanted)]
    return Cold([*chosen, *there], [name for name in images.NAMES if name in options.images.split(",")], options.pulls)


def versions(release: Path | None = None) -> dict[str, str]:
    """The first line of what each program says of itself."""
    said = {}
    for program in filter(shutil.which, VERSIONS):
        text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        said[program] = text.partition("\n")[0]
    if release:
        for program in ("dockerd", "podman", "containerd"):
            argv = ["chroot", str(release), program, "--version"]
            text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            said[f"{program} in {release.name}"] = text.partition("\n")[0]
    return said


def run(options: argparse.Namespace) -> tuple[list[Sample], str]:
    """Start every contender, measure, end them."""
    samples: list[Sample] = []
    peers.Docker.compose = [options.compose] if options.compose else peers.find_compose()
    wanted = set(filter(None, options.only.split(",")))
    with ExitStack() as stack:
        folder, disk = stack.enter_context(store.fresh(options.directory))
        if not wanted or "T5" in wanted:
            print("T5", end=" ", file=sys.stderr, flush=True)
            (folder / "pulls").mkdir()
            samples += cold(options).run(folder / "pulls")
            print(file=sys.stderr)
        if not wanted or "T9" in wanted:
            print("T9", end=" ", file=sys.stderr, flush=True)
            samples += network.run(folder / "networks", options.networks)
            print(file=sys.stderr)
        if wanted and wanted <= {*ALONE}:
            return samples, disk
        made = workload.make(folder / "workload")
        contenders = [kind(folder, made) for kind in chosen(options.contenders)]
        for contender in contenders:
            with measures.sparing(contender):
                stack.enter_context(contender)
        contenders = [contender for contender in contenders if not contender.failed]
        time.sleep(2)
        samples += [sample for contender in contenders for sample in measures.pss(contender, 0)]
        for title, scene in scenes(options):
            print(title, end=" ", file=sys.stderr, flush=True)
            samples += scene(contenders)
    return samples, disk


def main() -> int:
    """Measure and tell; 1 when a target was missed."""
    options = parse()
    if os.geteuid() != 0:
        print("cannot measure: making namespaces and mounts needs root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is taken down
    begin = time.monotonic()
    samples, disk = run(options)
    found = report.medians(samples)
    judged = report.verdicts(found)
    text = json.dumps(document(samples, disk, versions(options.release)), indent=1)
    options.output.write_text(text + "\n")
    if options.json:
        print(text)
    else:
        print(report.table(found), report.target_table(judged) if judged else "", sep="\n\n")
        print(f"\n{time.monotonic() - begin:.0f} s, on {disk};", "; ".join(versions(options.release).values()))
        print("many containers of docker by", " ".join(peers.Docker.compose) or "docker run, 4 at once")
    return 1 if any(verdict.word == "missed" for verdict in judged) else 0


def document(samples: list[Sample], disk: str, said: dict[str, str]) -> dict[str, object]:
    """Everything, for programs."""
    found = report.medians(samples)
    return {
        "versions": said,
        "store": disk,
        "medians": [
            dict(zip(("measure", "contender", "metric", "value"), (*key, value), strict=True))
            for key, value in found.items()
        ],
        "targets": [
            {**asdict(verdict.target), "peer": verdict.peer, "ratio": verdict.ratio, "met": verdict.word}
            for verdict in report.verdicts(found)
        ],
        "samples": [asdict(sample) for sample in samples],
    }


if __name__ == "__main__":
    sys.exit(main())
