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
PEERS = ("docker", "podman", "floor-runc", "floor-crun", "floor-fast")


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for `ours`: as a share of the peer's median, or, without a peer, in seconds."""

    name: str
    measure: str
    metric: str
    ours: str
    peer: str | None
    good: float
    moonshot: float


CRUN, RUNC, DOCKER = "reconciler-crun", "reconciler-runc", "docker"
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
    Target("T6", "T6", "wall", CRUN, DOCKER, 1 / 5, 1 / 12),
    Target("T6r", "T6", "wall", RUNC, DOCKER, 1 / 2.5, 1 / 4),
    Target("T7", "T7 100", "wall", CRUN, DOCKER, 1 / 6, 1 / 12),
    Target("T8", "T8 100", "cpu", CRUN, None, 0.008, 0.004),
    Target("T8r", "T8 100", "cpu", RUNC, None, 0.008, 0.004),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a target was met; `ratio` is ours to the peer's, or ours in seconds where there is no peer."""

    target: Target
    ratio: float

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
        theirs = found.get((target.measure, target.peer, target.metric)) if target.peer else 1.0
        if ours is not None and theirs:
            judged.append(Verdict(target, ours / theirs))
    return judged


def table(found: Mapping[Key, float]) -> str:
    """One line for each measure and contender: the medians, and how often they go into each peer's."""
    metrics = ("wall", "cpu", "bytes")
    rows = [["measure", "contender", *metrics, *(f"{peer} is" for peer in PEERS)]]
    for measure, contender in dict.fromkeys((measure, contender) for measure, contender, _ in found):
        values = [found.get((measure, contender, metric)) for metric in metrics]
        cells = [_figure(value, metric) for value, metric in zip(values, metrics, strict=True)]
        rows.append([measure, contender, *cells, *(_times(found, measure, contender, peer) for peer in PEERS)])
    return _aligned(rows)


def _times(found: Mapping[Key, float], measure: str, contender: str, peer: str) -> str:
    """`wall x / cpu x`, or of bytes: the peer's median over this one's."""
    said = []
    for metric in ("wall", "cpu", "bytes"):
        ours, theirs = found.get((measure, contender, metric)), found.get((measure, peer, metric))
        if ours and theirs is not None and contender != peer:
            said.append(f"{theirs / ours:.2g}x")
    return " / ".join(said)


def _figure(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    if metric == "bytes":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.2f} ms"


def target_table(judged: Iterable[Verdict]) -> str:
    """One line a target."""
    rows = [["target", "of", "metric", "ours", "against", "ratio", "good", "moonshot", ""]]
    for verdict in judged:
        target = verdict.target
        limits = [verdict.ratio, target.good, target.moonshot]
        shown = [_share(limit) if target.peer else f"{limit * 1000:.1f} ms" for limit in limits]
        peer = target.peer or "(absolute)"
        rows.append([target.name, target.measure, target.metric, target.ours, peer, *shown, verdict.word])
    return _aligned(rows)


def _share(ratio: float) -> str:
    return f"1/{1 / ratio:.1f}" if ratio else "0"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
