"""From samples to tables: medians, ratios to each peer, and the targets. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from tests.bench.measures import Sample

CALM = 0.2  # a repetition in which others used more of the machine tells little about wall time
ENOUGH = 3  # calm repetitions, so that the others can be left out
Key = tuple[str, str, str]  # measure, contender, metric
METRICS = ("wall", "cpu", "bytes", "dnsmasq", "peak", "growth")
COMPARED = METRICS[:3]
SECONDS = ("wall", "cpu")
TITLES = {
    "T1": "declared to answering",
    "T2": "so many declared at once, until all answer",
    "T3": "PSS of everything but the workload",
    "T3c": "idle, CPU in a second",
    "T4": "one more look, with nothing to do",
    "T5": "cold pull and unpack (bytes: fetched; peak: memory at once; growth: of our daemon's peak memory)",
    "T6": "kill -9 to answering again",
    "T7": "no longer declared, until all is gone",
    "T8": "CPU of the engine's own process for each container",
    "T10": "update: spec renamed to traffic moved, less the milliseconds that the new server takes to listen",
    "T11": "a hundred containers asked every second whether they are well: CPU of the daemon in a second",
    "T9": "the network of so many containers alone",
    "T9c": "one endpoint of so many published ports is another",
    "T9d": "the network of so many containers taken away",
}
FLOORS = ("floor-runc", "floor-crun", "floor-fast", "floor-pull", "floor-netlink", "ip-and-nft")
PULLERS = ("docker", "podman", "ctr")  # and the same of another release, as docker-sid
FASTEST = "the fastest peer"


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for `ours`: as a share of the peer's median, or, without a peer, in seconds or bytes."""

    name: str
    measure: str
    metric: str
    ours: str
    peer: str | None
    good: float
    moonshot: float


CRUN, RUNC, DOCKER, STORE, FLOOR = "reconciler-crun", "reconciler-runc", "docker", "reconciler", "floor-pull"
ADAPTERS, NETLINK, PROCESSES = "adapters", "floor-netlink", "ip-and-nft"
TARGETS = (
    Target("T1", "T1", "wall", CRUN, DOCKER, 1 / 4, 1 / 9),
    Target("T1", "T1", "cpu", CRUN, DOCKER, 1 / 5, 1 / 9),
    Target("T1r", "T1", "wall", RUNC, DOCKER, 1 / 2, 1 / 3),
    Target("T2", "T2 100", "wall", CRUN, DOCKER, 1 / 4, 1 / 8),
    Target("T2", "T2 100", "cpu", CRUN, DOCKER, 1 / 5, 1 / 10),
    Target("T2r", "T2 100", "wall", RUNC, DOCKER, 1 / 2, 1 / 2.7),
    Target("T2r", "T2 100", "cpu", RUNC, DOCKER, 1 / 2, 1 / 2.7),
    Target("T3", "T3 100", "bytes", CRUN, DOCKER, 1 / 8, 1 / 11),
    Target("T3c", "T3c 100", "cpu", CRUN, DOCKER, 1 / 20, 1 / 100),
    Target("T4", "T4 100", "cpu", CRUN, DOCKER, 1 / 10, 1 / 40),
    Target("T4", "T4 100", "wall", CRUN, DOCKER, 1 / 10, 1 / 40),
    Target("T5", "T5 mid", "wall", STORE, FASTEST, 1 / 2, 1 / 3.5),
    Target("T5", "T5 mid", "cpu", STORE, FASTEST, 1 / 2, 1 / 3),
    Target("T5", "T5 mid", "cpu", STORE, FLOOR, 1.3, 1.15),
    Target("T5g", "T5 mid", "growth", STORE, None, 16e6, 4e6),
    Target("T5m", "T5 many", "wall", STORE, FASTEST, 1 / 1.5, 1 / 2.5),
    Target("T5m", "T5 many", "cpu", STORE, FASTEST, 1 / 2, 1 / 3.5),
    Target("T5m", "T5 many", "cpu", STORE, FLOOR, 1.3, 1.15),
    Target("T5z", "T5 mid-zstd", "cpu", STORE, FLOOR, 1.3, 1.15),
    Target("T6", "T6 10", "wall", CRUN, DOCKER, 1 / 5, 1 / 12),
    Target("T6r", "T6 10", "wall", RUNC, DOCKER, 1 / 2.5, 1 / 4),
    Target("T7", "T7 100", "wall", CRUN, DOCKER, 1 / 6, 1 / 12),
    Target("T8", "T8 100", "cpu", CRUN, None, 0.008, 0.004),
    Target("T8r", "T8 100", "cpu", RUNC, None, 0.008, 0.004),
    Target("T10", "T10 0", "wall", CRUN, "floor-crun", 1.5, 1.2),
    Target("T10", "T10 300", "wall", CRUN, "floor-crun", 1.5, 1.2),
    Target("T10r", "T10 0", "wall", RUNC, "floor-runc", 1.5, 1.2),
    Target("T10r", "T10 300", "wall", RUNC, "floor-runc", 1.5, 1.2),
    Target("T11", "T11 http", "cpu", CRUN, None, 0.05, 0.02),
    Target("T11", "T11 tcp", "cpu", CRUN, None, 0.05, 0.02),
    Target("T9", "T9 1", "wall", ADAPTERS, NETLINK, 1.5, 1.2),
    Target("T9", "T9 1", "cpu", ADAPTERS, NETLINK, 1.5, 1.2),
    Target("T9", "T9 1", "cpu", ADAPTERS, PROCESSES, 1 / 4, 1 / 10),
    Target("T9m", "T9 100", "wall", ADAPTERS, NETLINK, 1.2, 1.1),
    Target("T9m", "T9 100", "cpu", ADAPTERS, NETLINK, 1.2, 1.1),
    Target("T9c", "T9c 1000", "wall", ADAPTERS, None, 0.02, 0.01),
    Target("T9d", "T9d 1", "wall", ADAPTERS, None, 0.01, 0.002),
    Target("T9d", "T9d 100", "wall", ADAPTERS, PROCESSES, 1 / 10, 1 / 20),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a target was met; `ratio` is ours to that of `peer`, or ours in seconds or bytes where there is none."""

    target: Target
    ratio: float
    peer: str = ""

    @property
    def word(self) -> str:
        """moonshot, good or missed."""
        if self.ratio <= self.target.moonshot:
            return "moonshot"
        return "good" if self.ratio <= self.target.good else "missed"


def medians(samples: Iterable[Sample]) -> dict[Key, float]:
    """One figure for each measure, contender and metric."""
    grouped: dict[Key, list[Sample]] = defaultdict(list)
    for sample in samples:
        grouped[sample.measure, sample.contender, sample.metric].append(sample)
    return {key: _median(group) for key, group in grouped.items()}


def _median(group: list[Sample]) -> float:
    calm = [sample.value for sample in group if sample.foreign < CALM]
    chosen = calm if len(calm) >= ENOUGH and group[0].metric == "wall" else [sample.value for sample in group]
    return median(chosen)


def verdicts(found: Mapping[Key, float]) -> list[Verdict]:
    """Every target for which both sides were measured."""
    judged = []
    for target in TARGETS:
        ours = found.get((target.measure, target.ours, target.metric))
        theirs, peer = _peer(found, target)
        if ours is not None and theirs:
            judged.append(Verdict(target, ours / theirs, peer))
    return judged


def _peer(found: Mapping[Key, float], target: Target) -> tuple[float, str]:
    """What ours is divided by, and whose it is."""
    if target.peer is None:
        return 1.0, "(absolute)"
    if target.peer != FASTEST:
        return found.get((target.measure, target.peer, target.metric), 0.0), target.peer
    theirs = [
        (value, name)
        for (measure, name, metric), value in found.items()
        if (measure, metric) == (target.measure, target.metric) and name.startswith(PULLERS)
    ]
    return min(theirs, default=(0.0, FASTEST))


def table(found: Mapping[Key, float]) -> str:
    """A block for each measure, a line for each contender: medians, and how often they go into each peer's."""
    blocks: dict[str, dict[str, None]] = defaultdict(dict)
    for measure, contender, _ in found:
        blocks[measure][contender] = None
    ordered = sorted(blocks, key=_order)
    return "\n\n".join(_block(found, measure, list(blocks[measure])) for measure in ordered)


def _order(measure: str) -> tuple[str, int]:
    """By its name, then by its number; images stay in the order of their turns."""
    kind, _, size = measure.partition(" ")
    return kind, int(size) if size.isdigit() else 0


def _block(found: Mapping[Key, float], measure: str, contenders: list[str]) -> str:
    metrics = [metric for metric in METRICS if any((measure, name, metric) in found for name in contenders)]
    peers = [name for name in contenders if name.startswith(PULLERS)]
    peers += [name for name in FLOORS if name in contenders]
    rows = [["", *metrics, *(f"{peer} is" for peer in peers)]]
    for contender in contenders:
        values = [_figure(found.get((measure, contender, metric)), metric) for metric in metrics]
        rows.append([contender, *values, *(_times(found, measure, contender, peer) for peer in peers)])
    kind, _, size = measure.partition(" ")
    return f"{kind}, {size or '1'}: {TITLES[kind]}\n{_aligned(rows)}"


def _times(found: Mapping[Key, float], measure: str, contender: str, peer: str) -> str:
    """`wall x / cpu x`, or of bytes: the peer's median over this one's."""
    said = []
    for metric in COMPARED:
        ours, theirs = found.get((measure, contender, metric)), found.get((measure, peer, metric))
        if ours and theirs is not None and contender != peer:
            said.append(f"{theirs / ours:.3g}x")
    return " / ".join(said)


def _figure(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    if metric not in SECONDS:
        return f"{value / 1e6:.1f} MB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.2f} ms"


def target_table(judged: Iterable[Verdict]) -> str:
    """One line a target."""
    rows = [["target", "of", "metric", "ours", "against", "ratio", "good", "moonshot", ""]]
    for verdict in judged:
        target = verdict.target
        limits = [verdict.ratio, target.good, target.moonshot]
        shown = [_share(limit) if target.peer else _limit(limit, target.metric) for limit in limits]
        rows.append([target.name, target.measure, target.metric, target.ours, verdict.peer, *shown, verdict.word])
    return _aligned(rows)


def _limit(value: float, metric: str) -> str:
    return f"{value * 1000:.1f} ms" if metric in SECONDS else f"{value / 1e6:.1f} MB"


def _share(ratio: float) -> str:
    if ratio > 1:
        return f"{ratio:.2f}"
    return f"1/{1 / ratio:.1f}" if ratio else "0"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
