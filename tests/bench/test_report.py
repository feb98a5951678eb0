"""What the bench makes of its samples."""

from __future__ import annotations

from tests.bench.measures import Sample
from tests.bench.report import TARGETS, TITLES, Target, Verdict, medians, table, target_table, verdicts


def sample(contender: str, value: float, metric: str = "wall", foreign: float = 0.0) -> Sample:
    return Sample("T1", contender, metric, value, foreign)


def test_median_of_all_repetitions() -> None:
    found = medians([sample("docker", value) for value in (3.0, 1.0, 2.0)])
    assert found == {("T1", "docker", "wall"): 2.0}


def test_busy_repetitions_are_left_out_of_wall_where_three_calm_ones_remain() -> None:
    calm = [sample("docker", value) for value in (1.0, 2.0, 3.0)]
    busy = [sample("docker", value, foreign=0.5) for value in (50.0, 60.0, 70.0)]
    assert medians([*busy, *calm])["T1", "docker", "wall"] == 2.0


def test_busy_repetitions_count_where_too_few_calm_ones_remain() -> None:
    calm = [sample("docker", 1.0), sample("docker", 2.0)]
    assert medians([*calm, sample("docker", 9.0, foreign=0.5)])["T1", "docker", "wall"] == 2.0


def test_busy_repetitions_count_for_cpu() -> None:
    calm = [sample("docker", value, "cpu") for value in (1.0, 1.0, 1.0)]
    busy = [sample("docker", value, "cpu", foreign=0.5) for value in (5.0, 5.0, 5.0, 5.0)]
    assert medians([*calm, *busy])["T1", "docker", "cpu"] == 5.0


def test_verdicts_are_ratios_to_the_peer() -> None:
    found = {("T1", "docker", "wall"): 0.4, ("T1", "reconciler-crun", "wall"): 0.1}
    (verdict,) = verdicts(found)
    assert (verdict.target.name, verdict.ratio, verdict.word) == ("T1", 0.25, "good")


def test_a_target_without_a_peer_is_absolute() -> None:
    (verdict,) = verdicts({("T8 100", "reconciler-crun", "cpu"): 0.003})
    assert (verdict.ratio, verdict.word) == (0.003, "moonshot")


def test_nothing_is_judged_when_one_side_is_missing() -> None:
    assert verdicts({("T1", "reconciler-crun", "wall"): 0.1}) == []
    assert verdicts({("T1", "docker", "wall"): 0.4}) == []


def test_the_fastest_peer_is_found_in_each_metric() -> None:
    walls = {"docker": 4.0, "podman": 2.0, "ctr-sid": 3.0, "floor-pull": 0.5, "reconciler": 1.0}
    cpus = {"docker": 4.0, "podman": 3.5, "ctr-sid": 3.0, "floor-pull": 0.8, "reconciler": 1.0}
    found = {("T5 mid", name, "wall"): value for name, value in walls.items()}
    found |= {("T5 mid", name, "cpu"): value for name, value in cpus.items()}
    judged = [(verdict.peer, verdict.target.metric, verdict.ratio, verdict.word) for verdict in verdicts(found)]
    assert judged == [
        ("podman", "wall", 0.5, "good"),
        ("ctr-sid", "cpu", 1 / 3, "moonshot"),
        ("floor-pull", "cpu", 1.25, "good"),
    ]


def test_without_a_peer_there_is_no_fastest_one() -> None:
    assert verdicts({("T5 mid", "reconciler", "wall"): 1.0, ("T5 mid", "floor-pull", "wall"): 0.5}) == []


def test_images_stand_in_the_order_of_their_turns() -> None:
    found = {(f"T5 {image}", "reconciler", "wall"): 1.0 for image in ("tiny", "mid", "many")}
    lines = [line for line in table(found).splitlines() if line.startswith("T5")]
    assert [line.split(":")[0] for line in lines] == ["T5, tiny", "T5, mid", "T5, many"]


def test_memory_is_told_in_megabytes_and_not_compared() -> None:
    figures = {"wall": 2.0, "bytes": 1e6, "peak": 3e7}
    found = {("T5 mid", name, metric): value for name in ("podman", "ctr") for metric, value in figures.items()}
    line = next(line for line in table(found).splitlines() if line.startswith("podman"))
    assert line.split() == ["podman", "2.00", "s", "1.0", "MB", "30.0", "MB", "1x", "/", "1x"]


def test_more_than_the_peer_is_no_fraction() -> None:
    found = {("T5 many", "reconciler", "cpu"): 2.0, ("T5 many", "floor-pull", "cpu"): 1.0}
    assert "2.00   1.30  1.15      missed" in target_table(verdicts(found))


def test_words() -> None:
    target = Target("T1", "T1", "wall", "ours", "docker", good=0.25, moonshot=0.1)
    words = [Verdict(target, ratio).word for ratio in (0.1, 0.11, 0.25, 0.26)]
    assert words == ["moonshot", "good", "good", "missed"]


def test_the_table_has_a_block_for_each_measure_in_order_of_size() -> None:
    found = {
        ("T2 100", "docker", "wall"): 12.0,
        ("T2 100", "floor-crun", "wall"): 1.5,
        ("T2 10", "docker", "wall"): 0.9,
        ("T3 10", "docker", "bytes"): 2e8,
    }
    assert table(found).splitlines() == [
        "T2, 10: so many declared at once, until all answer",
        "        wall       docker is",
        "docker  900.00 ms",
        "",
        "T2, 100: so many declared at once, until all answer",
        "            wall     docker is  floor-crun is",
        "docker      12.00 s             0.125x",
        "floor-crun  1.50 s   8x",
        "",
        "T3, 10: PSS of everything but the workload",
        "        bytes     docker is",
        "docker  200.0 MB",
    ]


def test_targets_show_what_was_reached() -> None:
    line = target_table(verdicts({("T8 100", "reconciler-crun", "cpu"): 0.009})).splitlines()[1]
    assert " ".join(line.split()) == "T8 T8 100 cpu reconciler-crun (absolute) 9.0 ms 8.0 ms 4.0 ms missed"


def test_every_target_names_a_measure_and_is_harder_to_reach_as_a_moonshot() -> None:
    for target in TARGETS:
        assert target.measure.split()[0] in TITLES
        assert target.moonshot < target.good
