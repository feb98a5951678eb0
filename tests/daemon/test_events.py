"""Readers get the newest snapshot, bounded history, and a ring for news only."""

from __future__ import annotations

from reconciler.core.changes import Change
from reconciler.core.status import Snapshot
from reconciler.daemon.events import KEPT, Events


def news(number: int = 1) -> list[Change]:
    return [Change(kind="container", name=f"c{index}", action="started") for index in range(number)]


def test_the_newest_snapshot_is_served() -> None:
    events = Events(Snapshot(at=1.0))
    events.publish(Snapshot(at=2.0), [])
    assert events.current().at == 2.0


def test_events_are_numbered_and_can_be_followed() -> None:
    events = Events(Snapshot(at=1.0))
    events.publish(Snapshot(at=2.0), news(3))
    assert [event.sequence for event in events.events(0)] == [1, 2, 3]
    assert [event.name for event in events.events(2)] == ["c2"]
    assert events.events(3) == ()


def test_history_is_bounded() -> None:
    events = Events(Snapshot(at=1.0))
    events.publish(Snapshot(at=2.0), news(KEPT + 10))
    kept = events.events(0)
    assert (len(kept), kept[0].sequence) == (KEPT, 11)


def test_subscribers_are_rung_for_news_until_they_stop() -> None:
    events, rings = Events(Snapshot(at=1.0)), []
    stop = events.subscribe(lambda: rings.append(1))
    events.publish(Snapshot(at=2.0), [])
    assert rings == []
    events.publish(Snapshot(at=3.0), news(2))
    assert rings == [1]
    stop()
    events.publish(Snapshot(at=4.0), news())
    assert rings == [1]
