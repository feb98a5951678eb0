"""What one container needs next: to be kept running, or to be taken away. Pure; `plan` calls it per container.

Each function looks at one observed container and answers with at most one task or wait. It never looks ahead:
after a step the host is observed again, so an interrupted start, a crash or a reboot needs no code of its own.
"""

from __future__ import annotations

from typing import assert_never

from reconciler.core.model import Created, Dead, Exited, Restart, Running, SeenContainer
from reconciler.core.steps import (
    CleanContainer,
    ConnectContainer,
    DisconnectContainer,
    KillContainer,
    MountContainer,
    RemoveContainer,
    StartContainer,
    Step,
    StopContainer,
    Task,
    Wait,
)

# Docker's figures (moby restartmanager.go): 100 ms doubling to a minute, forgotten after ten seconds of running.
FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
STEADY_AFTER = 10.0
SETTLING_FAILURES = 3  # `run --once` sits out this many quick failures, no more


def key(name: str) -> str:
    """The key of a container's tasks and waits; by name, so that a replacement waits for its predecessor."""
    return f"container:{name}"


def keep(seen: SeenContainer, restart: Restart, blocked: str, now: float) -> Task | Wait | None:
    """What `seen` needs so that it runs as its restart policy says; None when it is as it should be.

    `blocked` says why it cannot be connected or started now, "" when it can.
    """
    match seen.state:
        case Dead():
            return _start(seen, blocked, "not running", seen.restarts, 0)
        case Created():
            return _start(seen, blocked, "its start was interrupted", seen.restarts, seen.failures)
        case Running(stop_sent=float()):
            return _see_it_stop(seen, seen.state, now, "stopping")
        case Running(monitored=False):
            return _stop(seen, "its monitor is gone, output and exit code would be lost")
        case Running():
            return None if seen.connected else _reconnect(seen, blocked)
        case Exited():
            return _restart(seen, seen.state, restart, blocked, now)
        case _:
            assert_never(seen.state)


def retire(seen: SeenContainer, now: float, cause: str) -> Task | Wait:
    """What takes `seen` off the host: stop signal, grace period, SIGKILL, then everything it left."""
    match seen.state:
        case Running(stop_sent=None):
            return _stop(seen, cause)
        case Running():
            return _see_it_stop(seen, seen.state, now, cause)
        case Created():
            return Task(key(seen.name), cause, (KillContainer(seen.id, seen.name), *_removal(seen)))
        case Dead() | Exited():
            return Task(key(seen.name), cause, _removal(seen))
        case _:
            assert_never(seen.state)


def clean(seen: SeenContainer) -> Task | None:
    """Removes what ended runs left, once the container itself needs nothing more urgent."""
    if not seen.leftovers:
        return None
    return Task(f"clean:{seen.name}", "ended runs", (CleanContainer(seen.id, seen.name),))


def finished(seen: SeenContainer, restart: Restart) -> bool:
    """Whether it ended and its policy lets it rest."""
    match seen.state:
        case Exited(stopped=False, code=code):
            return restart.policy == "no" or (restart.policy == "on-failure" and code == 0)
        case _:
            return False


def about_to_run(seen: SeenContainer) -> bool:
    """Whether it does not run, but will as soon as its restart policy lets it."""
    match seen.state:
        case Dead() | Created():
            return not seen.damaged
        case Exited(stopped=False):
            return not finished(seen, seen.restart)
        case _:
            return False


def delay(failures: int) -> float:
    """Seconds between the end of a run and the next start, after `failures` quick ends in a row.

    None after the first: nothing says yet that it would fail again, and most crashes are not loops.
    """
    return 0.0 if failures <= 1 else min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 2, 30))


def _removal(seen: SeenContainer) -> tuple[Step, ...]:
    cleaning = (CleanContainer(seen.id, seen.name),) if seen.leftovers or isinstance(seen.state, Created) else ()
    return (*cleaning, DisconnectContainer(seen.id, seen.name), RemoveContainer(seen.id, seen.name))


def _stop(seen: SeenContainer, cause: str) -> Task:
    return Task(key(seen.name), cause, (StopContainer(seen.id, seen.name, seen.stop_signal),))


def _see_it_stop(seen: SeenContainer, state: Running, now: float, cause: str) -> Task | Wait:
    assert state.stop_sent is not None
    deadline = state.stop_sent + seen.stop_grace_period
    if state.stop_sent <= now < deadline:  # a signal sent in the future: somebody set the clock, so nobody can tell
        return Wait(key(seen.name), f"{cause}: has {seen.stop_grace_period:g} s to end", until=deadline, passing=True)
    late = f"{cause}: did not end within {seen.stop_grace_period:g} s"
    return Task(key(seen.name), late, (KillContainer(seen.id, seen.name),))


def _reconnect(seen: SeenContainer, blocked: str) -> Task | Wait:
    if blocked:
        return Wait(key(seen.name), blocked)
    step = ConnectContainer(seen.id, seen.name, seen.endpoints)
    return Task(key(seen.name), f"drifted: {seen.disconnected}", (step,), drift=True)


def _restart(seen: SeenContainer, state: Exited, restart: Restart, blocked: str, now: float) -> Task | Wait | None:
    if finished(seen, restart):
        return None
    if state.stopped:
        return _start(seen, blocked, "was stopped, and is wanted", seen.restarts + 1, 0)
    if restart.max_retries and seen.restarts >= restart.max_retries:
        reason = f"exited with code {state.code}; its restart policy allows {restart.max_retries} tries and no more"
        return Wait(key(seen.name), reason)
    failures = 0 if state.at - state.since >= STEADY_AFTER else seen.failures + 1
    ended = "was out of memory" if state.oom else f"exited with code {state.code}"
    ready = state.at + delay(failures)
    if state.at <= now < ready:  # an end in the future: somebody set the clock
        again = f"{ended}, {failures} times in a row; restarts after {delay(failures):g} s"
        return Wait(key(seen.name), again, until=ready, passing=failures <= SETTLING_FAILURES)
    return _start(seen, blocked, ended, seen.restarts + 1, failures)


def _start(seen: SeenContainer, blocked: str, cause: str, restarts: int, failures: int) -> Task | Wait:
    if blocked:
        return Wait(key(seen.name), blocked)
    steps: list[Step] = []
    if isinstance(seen.state, Created):
        steps.append(KillContainer(seen.id, seen.name))
    if not seen.mounted:
        steps.append(MountContainer(seen.id, seen.name))
    if not seen.connected:
        steps.append(ConnectContainer(seen.id, seen.name, seen.endpoints))
    steps.append(StartContainer(seen.id, seen.name, restarts, failures))
    return Task(key(seen.name), cause, tuple(steps), about=seen.revision)
