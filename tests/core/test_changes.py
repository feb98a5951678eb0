"""Events are the difference between two looks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from reconciler.core.changes import changes, news
from reconciler.core.model import Created, Dead, Desired, Exited, Observed, Running, SeenContainer
from reconciler.core.progress import LayerProgress, Progress
from reconciler.core.status import Outcome, Snapshot
from reconciler.core.steps import Plan, Task, Wait
from tests.core.hosts import NETWORK, host, seen
from tests.core.worlds import WEB
from tests.fakes import image


def told(before: Observed, after: Observed) -> list[str]:
    found = changes(Snapshot(at=1.0, observed=before), Snapshot(at=2.0, observed=after))
    return [f"{change.kind} {change.name} {change.action} {change.message}".strip() for change in found]


def only(entry: SeenContainer) -> Observed:
    return Observed(containers={entry.id: entry})


def test_nothing_happened() -> None:
    assert told(host(seen()), host(seen())) == []


def test_a_life() -> None:
    dead, created = seen(Dead()), seen(Created(pid=1))
    running = seen(Running(pid=1, since=5.0))
    stopping = seen(Running(pid=1, since=5.0, stop_sent=9.0))
    ended = seen(Exited(code=3, at=9.5, since=5.0))
    assert told(Observed(), only(dead)) == ["container shop-web-1 created"]
    assert told(only(dead), only(created)) == []
    assert told(only(created), only(running)) == ["container shop-web-1 started"]
    assert told(only(running), only(stopping)) == ["container shop-web-1 stopping"]
    assert told(only(stopping), only(ended)) == ["container shop-web-1 died exit code 3"]
    assert told(only(ended), Observed()) == ["container shop-web-1 removed"]


def test_what_happened_between_two_looks_is_told_in_order() -> None:
    assert told(Observed(), only(seen())) == ["container shop-web-1 created", "container shop-web-1 started"]


def test_a_restart_between_two_looks_is_a_start() -> None:
    later = seen(Running(pid=2, since=4500.0))
    assert told(only(seen()), only(later)) == ["container shop-web-1 started"]


def test_out_of_memory_is_told() -> None:
    killed = seen(Exited(code=137, at=9.0, since=5.0, oom=True))
    (change,) = changes(Snapshot(at=1.0, observed=only(seen())), Snapshot(at=2.0, observed=only(killed)))
    assert (change.message, change.attributes) == ("out of memory", (("exitCode", "137"), ("oom", "true")))


def test_images_networks_volumes_and_the_table() -> None:
    full = host(volumes=frozenset({"data"}))
    assert told(Observed(), full) == [
        f"image {WEB} pulled",
        "network shop_default created",
        "volume data created",
        "firewall ruleset applied",
    ]
    assert told(full, replace(full, ruleset="", networks={})) == [
        f"network {NETWORK.name} removed",
        "firewall ruleset lost",
    ]


def test_a_spec_is_held_and_recovers() -> None:
    fine, held = Snapshot(at=1.0), Snapshot(at=2.0, desired=Desired(held={"shop": "cannot read it"}))
    assert [(change.action, change.message) for change in changes(fine, held)] == [("held", "cannot read it")]
    assert [change.action for change in changes(held, fine)] == ["recovered"]
    assert changes(held, held) == ()


def test_a_failure_is_told_once_each_time_it_happens() -> None:
    once = Snapshot(at=1.0, outcomes={f"image:{WEB}": Outcome(key=f"image:{WEB}", at=1.0, error="cannot", failures=1)})
    (change,) = changes(Snapshot(at=0.0), once)
    assert (change.kind, change.name, change.action, change.message) == ("image", WEB, "failed", "cannot")
    assert changes(once, once) == ()


def test_our_own_replacement_of_the_table_is_no_loss() -> None:
    before, after = Snapshot(at=1.0, observed=host()), Snapshot(at=2.0, observed=host(ruleset=""))
    assert [change.action for change in changes(before, after)] == ["lost"]
    assert changes(before, replace(after, busy=frozenset({"firewall"}))) == ()


def test_drift_is_told_once_with_what_it_was() -> None:
    repair = Task("network:shop_default", "drifted: it is down", (), drift=True)
    begun = Snapshot(at=2.0, plan=Plan(tasks=(repair, Task("volume:x", "missing", ()))))
    (change,) = changes(Snapshot(at=1.0), begun)
    assert (change.kind, change.name, change.action, change.message) == (
        "network", "shop_default", "drifted", "it is down"
    )  # fmt: skip
    assert changes(begun, begun) == ()


def test_news_of_specs_is_told_once_and_by_file() -> None:
    why = "shop.toml:1:1: cannot read this"
    fine = Snapshot(at=1.0, generation=1)
    held = replace(fine, desired=Desired(held={"shop": why, "shop.toml": why, "new.yaml": "new.yaml:1:1: cannot"}))
    assert [*news(fine, held)] == ["new.yaml:1:1: cannot", why]
    assert [*news(held, held)] == []
    assert [*news(held, fine)] == ["new.yaml: no longer a problem", "shop.toml: no longer a problem"]
    away = replace(fine, desired=Desired(unavailable="cannot read the specs directory"))
    assert [*news(fine, away)] == ["cannot read the specs directory"]
    assert [*news(away, fine)] == ["specs: the directory can be read again"]


def test_that_all_is_done_is_told_when_it_becomes_so() -> None:
    start = Snapshot(at=1.0)
    done = Snapshot(at=2.0, generation=1, observed=only(seen()))
    wait = Wait("container:shop-web-1", "waits for network x", code="network-missing")
    left = replace(done, generation=2, plan=Plan(waits=(wait,)))
    busy = replace(done, generation=3, busy=frozenset({"firewall"}))
    assert [*news(start, done)] == ["converged: 1 container runs"]
    assert [*news(done, done)] == [*news(done, left)] == [*news(left, busy)] == []
    assert [*news(left, done)] == [*news(busy, done)] == ["converged: 1 container runs"]
    assert [*news(start, replace(done, observed=Observed()))] == ["converged: 0 containers run"]


def test_a_tag_that_moved_is_told() -> None:
    old, new = image(WEB), image(WEB, 2)
    assert told(host(images={WEB: old}), host(images={WEB: new})) == [
        f"image {WEB} pulled moved from {old.digest} to {new.digest}"
    ]
    assert told(host(images={WEB: old}), host(images={WEB: replace(old, checked_at=5.0)})) == []


def test_a_pull_is_told_when_it_begins_and_every_tenth_of_it() -> None:
    def at(done: int) -> Snapshot:
        layers = (LayerProgress("sha256:a", min(done, 400), 400), LayerProgress("sha256:b", max(0, done - 400), 600))
        return Snapshot(at=1.0, progress={WEB: Progress(WEB, done, 1000, 50.0, layers)})

    snapshots = [Snapshot(at=1.0), *(at(done) for done in range(0, 1001, 25)), Snapshot(at=1.0)]
    pairs = pairwise(snapshots)
    told = [change for before, after in pairs for change in changes(before, after)]
    assert {(change.kind, change.name, change.action) for change in told} == {("image", WEB, "pulling")}
    assert [dict(change.attributes)["done"] for change in told] == [str(done) for done in range(0, 1001, 100)]
    assert told[6].message == "60 % of 1.0 kB, 50 B/s, 8s left, 1 of 2 layers"
    assert dict(told[6].attributes) == {"done": "600", "total": "1000", "layersDone": "1", "layers": "2"}
