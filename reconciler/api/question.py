"""What a reader asks, what it is told, and how it is told no: the small vocabulary of the socket.

An answer is a pure function of a `Question`: the newest snapshot, the time, and the words of the request. Nothing
here knows HTTP beyond status codes; `app` puts the functions behind routes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.core.history import History
from reconciler.core.status import Snapshot
from reconciler.errors import ReconcilerError

Json = dict[str, object]

# What Docker's own form parser takes for false, in any case; everything else is true (moby httputils/form.go).
_FALSE = frozenset({"", "0", "no", "false", "none"})


class RefusalError(ReconcilerError):
    """A request that gets no answer but a sentence. `status` is the HTTP status code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request: `path` holds the parts of the path that vary, `query` what follows the question mark."""

    snapshot: Snapshot
    now: float  # seconds since the epoch
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    history: Callable[[], History] = History

    def flag(self, name: str) -> bool:
        """Whether the query says yes to `name`, in any of the spellings that Docker's clients use."""
        return self.query.get(name, "").strip().lower() not in _FALSE

    def number(self, name: str) -> float | None:
        """The number that the query gives for `name`; None when it gives none. Raises RefusalError for other text."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            raise RefusalError(400, f"cannot read {name}: it is not a number") from None
        if not abs(number) < 1e15:
            raise RefusalError(400, f"cannot read {name}: the number is out of range")
        return number


Answer = Callable[[Question], object]


def encode(value: object) -> bytes:
    """`value` as JSON with a final newline; frozen dataclasses become objects with their fields."""
    return (json.dumps(value, default=_fields, separators=(",", ":")) + "\n").encode()


def _fields(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return {name: getattr(value, name) for name in value.__slots__}  # type: ignore[attr-defined]
