"""Health: what a container is asked, how answers become a state, and when the next question is due. Pure.

Compose's `healthcheck`, with two more tests that the daemon itself does without a process in the container. The probes
are done in `daemon.probes`; who may serve, and what waits for health, is decided in `plan` from the state alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor
from typing import Literal

State = Literal["starting", "healthy", "unhealthy"]
LONGEST_SAID = 500  # characters of an answer that are kept
FIRST_QUESTION = 0.01  # seconds after a start; a command, which costs a process, has a hundred times as long
FIRST_COMMAND = 1.0
LATE = 0.1  # the share of its time to start by which a server may be found to be ready too late; a command's is 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTest:
    """`CMD` and `CMD-SHELL`: a program in the container; exit code 0 is well."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTest:
    """`["HTTP", "http://:8080/healthz"]`: any answer from 200 to 399 is well."""

    port: int
    path: str
    host: str = ""  # the Host header, "" for the container's address


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpTest:
    """`["TCP", "5432"]`: a connection is well."""

    port: int


Test = CommandTest | HttpTest | TcpTest
INHERITED = CommandTest(argv=())  # the image's own test


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How a container is asked; times in seconds. `test` None: it is never asked (`NONE`).

    As declared, by a spec or an image, 0 means that nothing is said, and INHERITED stands for the image's test; what
    `effective` makes of both has neither.
    """

    test: Test | None
    interval: float = 0.0
    timeout: float = 0.0
    retries: int = 0
    start_period: float = 0.0
    start_interval: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of one run. `since` is when `state` began, `failures` those in a row, `said` the last answer.

    `first` is when this run was healthy for the first time, None when it never was.
    """

    state: State = "starting"
    since: float = 0.0
    failures: int = 0
    said: str = ""
    first: float | None = None


def effective(declared: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """How a container is asked: each value is its spec's, else its image's, else Docker's; None when it is never asked.

    Docker merges in the same way (moby daemon/commit.go), and has the same defaults (daemon/health.go).
    """
    own = declared or Healthcheck(test=INHERITED)
    base = image or Healthcheck(test=None)
    test = base.test if own.test == INHERITED else own.test
    if test is None:
        return None
    return Healthcheck(
        test=test,
        interval=own.interval or base.interval or 30.0,
        timeout=own.timeout or base.timeout or 30.0,
        retries=own.retries or base.retries or 3,
        start_period=own.start_period or base.start_period,
        start_interval=own.start_interval or base.start_interval or 5.0,
    )


def answered(health: Health, check: Healthcheck, answer: tuple[bool, str], now: float, started: float) -> Health:
    """What is known after an answer: whether it is well, and what it said.

    A failure in the grace time of a run that was never healthy does not count; `retries` of them in a row make it
    unhealthy, and one good answer makes it healthy, as in Docker.
    """
    ok, said = answer[0], clean(answer[1])
    if ok:
        since = health.since if health.state == "healthy" else now
        first = now if health.first is None else health.first
        return Health(state="healthy", since=since, said=said, first=first)
    if health.state == "starting" and in_grace(check, now, started):
        return replace(health, said=said)
    failures = health.failures + 1
    if failures < check.retries or health.state == "unhealthy":
        return replace(health, failures=failures, said=said)
    return replace(health, state="unhealthy", since=now, failures=failures, said=said)


def in_grace(check: Healthcheck, now: float, started: float) -> bool:
    """Whether a failure is part of starting: in `start_period`, and before the moment when Docker asks first."""
    return now - started < max(check.start_period, check.interval)


def next_due(check: Healthcheck, health: Health, asked: float, started: float, phase: float) -> float:
    """When to ask again after `asked`.

    While it starts, soon after the start and then less and less often, up to `start_interval`, so that what is ready
    fast is in service fast. Later at every `interval`, on a grid that `phase`, from 0 to 1 and another for each
    container, shifts: what was started together is not asked together, and asking again after a restart keeps pace.
    """
    pause = min(check.interval, check.start_interval)
    if health.state == "starting" and in_grace(check, asked, started):
        age, command = asked - started, isinstance(check.test, CommandTest)
        return asked + min(pause, max(FIRST_COMMAND, age) if command else max(FIRST_QUESTION, LATE * age))
    shift = phase * check.interval
    rounds = floor((asked + check.interval / 2 - shift) / check.interval) + 1
    return shift + rounds * check.interval


def clean(said: str) -> str:
    """One printable line of bounded length: what a container says is a stranger's."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in said[: 4 * LONGEST_SAID]).split())
    return line if len(line) <= LONGEST_SAID else line[: LONGEST_SAID - 1] + "…"
