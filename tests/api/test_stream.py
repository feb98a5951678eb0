"""Following events: nothing is lost or told twice, whoever rings and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.stream import Doorbell
from reconciler.core.status import Event
from tests.api.feed import SNAPSHOT, FakeFeed


def event(sequence: int) -> Event:
    return Event(sequence=sequence, at=float(sequence), kind="daemon", name="daemon", action="looked")


async def take(events: AsyncIterator[Event], count: int) -> list[int]:
    return [(await anext(events)).sequence for _ in range(count)]


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(0, 4))
def test_every_event_is_told_once_and_in_order(bursts: list[int], after: int) -> None:
    async def scenario() -> None:
        feed = FakeFeed(SNAPSHOT, tuple(event(number) for number in range(1, 5)))
        following = Doorbell(feed).follow(after)
        expected = after + 1
        told = await take(following, 4 - after)
        for burst in bursts:
            for _ in range(burst):
                feed.happen(event(len(feed.kept) + 1))
            told += await take(following, burst)
        assert told == list(range(expected, len(feed.kept) + 1))

    asyncio.run(scenario())


def test_what_the_feed_no_longer_keeps_is_skipped() -> None:
    async def scenario() -> None:
        feed = FakeFeed(SNAPSHOT, (event(1),))
        following = Doorbell(feed).follow(0)
        assert await take(following, 1) == [1]
        feed.kept = [event(7)]
        feed.happen(event(8))
        assert await take(following, 2) == [7, 8]

    asyncio.run(scenario())


def test_a_ring_without_news_tells_nothing_and_time_ends_it() -> None:
    async def scenario() -> None:
        feed = FakeFeed(SNAPSHOT)
        following = Doorbell(feed).follow(0, seconds=0.05)
        rest = asyncio.ensure_future(take_all(following))
        while not feed.rings:
            await asyncio.sleep(0)
        feed.rings[0]()
        assert await rest == []
        assert feed.rings == []

    asyncio.run(scenario())


async def take_all(events: AsyncIterator[Event]) -> list[int]:
    return [event.sequence async for event in events]


def test_close_ends_everyone_and_those_who_come_later() -> None:
    async def scenario() -> None:
        feed = FakeFeed(SNAPSHOT, (event(1),))
        doorbell = Doorbell(feed)
        readers = [asyncio.ensure_future(take_all(doorbell.follow(0))) for _ in range(3)]
        while len(feed.rings) < 3:
            await asyncio.sleep(0)
        doorbell.close()
        assert await asyncio.gather(*readers) == [[1]] * 3
        assert await take_all(doorbell.follow(0)) == [1]
        assert feed.rings == []

    asyncio.run(scenario())


def test_a_ring_after_the_loop_has_ended_is_harmless() -> None:
    feed = FakeFeed(SNAPSHOT)
    kept: list[AsyncIterator[Event]] = []

    async def scenario() -> None:
        following = Doorbell(feed).follow(0)
        kept.append(following)
        feed.kept.append(event(1))
        assert await take(following, 1) == [1]

    asyncio.run(scenario())
    feed.happen(replace(event(2)))
