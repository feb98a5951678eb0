"""What readers in other threads get: the newest snapshot, and the last events in order.

`Events` implements `core.status.Feed`. The loop publishes, everybody else reads; nothing here can block the loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from reconciler.core.changes import Change
from reconciler.core.history import History
from reconciler.core.status import Event, Snapshot

KEPT = 4096  # events; at some 300 bytes each little over a megabyte


class Events:
    """A bounded ring of events beside one snapshot reference."""

    def __init__(self, snapshot: Snapshot, history: Callable[[], History] = History) -> None:
        self._snapshot = snapshot
        self.history = history  # what is kept on the disk
        self._ring: deque[Event] = deque(maxlen=KEPT)
        self._sequence = 0
        self._lock = threading.Lock()
        self._subscribers: list[Callable[[], None]] = []

    def publish(self, snapshot: Snapshot, changes: Iterable[Change]) -> None:
        """Replace the snapshot, append what changed, and ring whoever follows. Called by the loop only."""
        with self._lock:
            self._snapshot = snapshot
            count = self._sequence
            for change in changes:
                self._sequence += 1
                self._ring.append(_event(change, self._sequence, snapshot.at))
            subscribers = tuple(self._subscribers) if self._sequence > count else ()
        for ring in subscribers:
            ring()

    def current(self) -> Snapshot:
        """The newest snapshot."""
        return self._snapshot

    def events(self, after: int) -> tuple[Event, ...]:
        """The events that are still kept with a sequence above `after`, oldest first."""
        with self._lock:
            return tuple(event for event in self._ring if event.sequence > after)

    def subscribe(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring` after new events until the returned function is called."""
        with self._lock:
            self._subscribers.append(ring)

        def stop() -> None:
            with self._lock:
                self._subscribers.remove(ring)

        return stop


def _event(change: Change, sequence: int, at: float) -> Event:
    return Event(
        sequence=sequence,
        at=at,
        kind=change.kind,
        name=change.name,
        action=change.action,
        message=change.message,
        container=change.container,
        attributes=change.attributes,
    )
