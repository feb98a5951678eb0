"""The two ways in which something can fail, decided by what to do next.

Every message is one sentence for a person: `cannot <do> <what>: <why>`. Nothing here logs, prints or exits;
the queue retries a `HostError`, and a `SpecError` waits until somebody changes the file.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal, Self

MAX_LINE = 1000


class ReconcilerError(Exception):
    """What this program raises on purpose; anything else is a bug."""


Fault = Literal["other", "denied", "absent", "unreachable", "distrusted", "full"]


class HostError(ReconcilerError):
    """The host did not do what was asked; the same may work later. `fault` says what went wrong, for programs."""

    fault: Fault = "other"

    def blamed(self, fault: Fault) -> Self:
        """The same error, which says what went wrong."""
        self.fault = fault
        return self


@dataclass(frozen=True, slots=True)
class Failure:
    """How a task failed: a sentence for people, and what went wrong."""

    message: str
    fault: Fault = "other"


def failure(error: Exception, message: str = "") -> Failure:
    """What `error` is told as. A full disk is found behind whatever was made of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            return Failure(message or str(error), "full")
        cause = cause.__cause__
    return Failure(message or str(error), error.fault if isinstance(error, HostError) else "other")


class UnfitError(HostError):
    """What is to run cannot run here: the same image and spec will hardly do so later, though they are tried again."""


class SpecError(ReconcilerError):
    """What a user wrote cannot be meant; trying again changes nothing.

    Carries one or more problems, so that a file with three mistakes is mended in one go.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake and its place: `file:line:column: cannot …`. Line and column count from 1; 0 when unknown."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """One printable line of bounded length, whatever the values are that it quotes."""
        line = f"{self.file}:{self.line}:{self.column}: {self.message}"
        shown = line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"
        return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)
