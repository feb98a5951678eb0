"""Events as they happen: replay, then follow until the reader goes, the time is up, or the daemon stops.

The feed rings from the daemon's thread; a ring only wakes the reader's task, which then asks for what is new. So
a slow reader costs the daemon nothing, and misses only what the feed no longer keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from reconciler.core.status import Event, Feed


class Doorbell:
    """Wakes the tasks that follow, for one server. `close` ends them all."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._wake: set[Callable[[], None]] = set()
        self._closed = False

    def close(self) -> None:
        """End every stream. May be called from any thread."""
        self._closed = True
        for wake in tuple(self._wake):
            wake()

    async def follow(self, after: int, seconds: float | None = None) -> AsyncIterator[Event]:
        """The events above `after`, those to come too, for `seconds` or without end."""
        bell = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended, and the reader with it
                loop.call_soon_threadsafe(bell.set)

        end = None if seconds is None else loop.time() + seconds
        self._wake.add(wake)
        unsubscribe = self._feed.subscribe(wake)
        try:
            while True:
                bell.clear()
                for event in self._feed.events(after):
                    after = event.sequence
                    yield event
                if self._closed or not await _rings(bell, None if end is None else end - loop.time()):
                    return
        finally:
            unsubscribe()
            self._wake.discard(wake)


async def _rings(bell: asyncio.Event, seconds: float | None) -> bool:
    """Wait for the bell; False when the time is up."""
    try:
        await asyncio.wait_for(bell.wait(), seconds)
    except TimeoutError:
        return False
    return True
