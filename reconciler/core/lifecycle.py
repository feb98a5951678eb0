"""What one container needs next: to be kept running, or to be taken away. Pure; `plan` calls it per container.

Each function looks at one observed container and answers with at most one task or wait. It never looks ahead:
after a step the host is observed again, so an interrupted start, a crash or a reboot needs no code of its own.
"""

from __future__ import annotations

from typing import assert_never

from reconciler.core.model import Created, Dead, Exited, Restart, Running, SeenContainer
from reconciler.core.reasons import Reason
from reconciler.core.starting import Hook, When
from reconciler.core.steps import (
    CleanContainer,
    ConnectContainer,
    DisconnectContainer,
    KillContainer,
    MountContainer,
    RemoveContainer,
    RunHooks,
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
HOOK_TIME = 300.0  # seconds that each of post_start has; those of pre_stop have the grace period
SETTLING_FAILURES = 3  # `run --once` sits out this many quick failures, no more


def key(name: str) -> str:
    """The key of a container's tasks and waits; by name, so that a replacement waits for its predecessor."""
    return f"container:{name}"


def keep(seen: SeenContainer, restart: Restart, blocked: Reason | None, now: float) -> Task | Wait | None:
    """What `seen` needs so that it runs as its restart policy says; None when it is as it should be.

    `blocked` says why it cannot be connected or started now, None when it can. That it is well is `heal`'s business.
    """
    match seen.state:
        case Dead():
            return _start(seen, blocked, "not running", seen.restarts, 0)
        case Created():
            return _start(seen, blocked, "its start was interrupted", seen.restarts, seen.failures)
        case Running(stop_sent=float()):
            return _see_it_stop(seen, seen.state, now, "stopping")
        case Running(monitored=False):
            return stop(seen, "its monitor is gone, output and exit code would be lost")
        case Running():
            return _hook(seen) if seen.connected else _reconnect(seen, blocked)
        case Exited():
            return _restart(seen, seen.state, restart, blocked, now)
        case _:
            assert_never(seen.state)


def retire(seen: SeenContainer, now: float, cause: str) -> Task | Wait:
    """What takes `seen` off the host: stop signal, grace period, SIGKILL, then everything it left."""
    match seen.state:
        case Running(stop_sent=None):
            return stop(seen, cause)
        case Running():
            return _see_it_stop(seen, seen.state, now, cause)
        case Created():
            return Task(key(seen.name), cause, (KillContainer(seen.id, seen.name), *_removal(seen)))
        case Dead() | Exited():
            return Task(key(seen.name), cause, _removal(seen))
        case _:
            assert_never(seen.state)


def heal(seen: SeenContainer, restart: Restart, now: float) -> Task | Wait | None:
    """What an unhealthy container needs: a new start, after a while that grows when the last ones did not help.

    It runs on meanwhile, without new connections, and may become well by itself. A restart policy `no` holds here too.
    """
    health = seen.health
    if health is None or health.state != "unhealthy" or not isinstance(seen.state, Running):
        return None
    said = f"unhealthy: {health.said or 'it does not answer'}"
    if restart.policy == "no":
        return Wait(key(seen.name), f"{said}; its restart policy is no", code="unhealthy")
    if restart.max_retries and seen.restarts >= restart.max_retries:
        why = f"{said}; its restart policy allows {restart.max_retries} tries and no more"
        return Wait(key(seen.name), why, code="tries-exhausted")
    failures = _failures(seen, seen.state.since, health.since)
    ready = health.since + delay(failures)
    if health.since <= now < ready:
        again = f"{said}, {failures} times in a row; restarts after {delay(failures):g} s"
        return Wait(key(seen.name), again, until=ready, code="unhealthy")
    return stop(seen, said)


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


def stop(seen: SeenContainer, cause: str) -> Task:
    """Its hooks, which a stop never waits for twice, then the stop signal."""
    hooks = seen.hooks.pre_stop if "pre_stop" not in seen.hooked else ()
    running: tuple[Step, ...] = (_run(seen, "pre_stop", hooks, seen.stop_grace_period),) if hooks else ()
    return Task(key(seen.name), cause, (*running, StopContainer(seen.id, seen.name, seen.stop_signal)))


def _hook(seen: SeenContainer) -> Task | None:
    """What is to be run in it after each start; what failed is tried again."""
    hooks = seen.hooks.post_start
    if not hooks or "post_start" in seen.hooked:
        return None
    return Task(key(seen.name), "started", (_run(seen, "post_start", hooks, HOOK_TIME),), about=seen.revision)


def _run(seen: SeenContainer, when: When, hooks: tuple[Hook, ...], seconds: float) -> Step:
    return RunHooks(seen.id, seen.name, when, hooks, seconds)


def _see_it_stop(seen: SeenContainer, state: Running, now: float, cause: str) -> Task | Wait:
    assert state.stop_sent is not None
    deadline = state.stop_sent + seen.stop_grace_period
    if state.stop_sent <= now < deadline:  # a signal sent in the future: somebody set the clock, so nobody can tell
        why = f"{cause}: has {seen.stop_grace_period:g} s to end"
        return Wait(key(seen.name), why, until=deadline, passing=True, code="stopping")
    late = f"{cause}: did not end within {seen.stop_grace_period:g} s"
    return Task(key(seen.name), late, (KillContainer(seen.id, seen.name),))


def _reconnect(seen: SeenContainer, blocked: Reason | None) -> Task | Wait:
    if blocked:
        return Wait(key(seen.name), blocked.text, code=blocked.code)
    step = ConnectContainer(seen.id, seen.name, seen.endpoints)
    return Task(key(seen.name), f"drifted: {seen.disconnected}", (step,), drift=True)


def _restart(
    seen: SeenContainer, state: Exited, restart: Restart, blocked: Reason | None, now: float
) -> Task | Wait | None:
    if finished(seen, restart):
        return None
    if state.stopped:
        return _start(seen, blocked, *_after_stop(seen, state))
    if restart.max_retries and seen.restarts >= restart.max_retries:
        reason = f"exited with code {state.code}; its restart policy allows {restart.max_retries} tries and no more"
        return Wait(key(seen.name), reason, code="tries-exhausted")
    failures = _failures(seen, state.since, state.at)
    ended = "was out of memory" if state.oom else f"exited with code {state.code}"
    ready = state.at + delay(failures)
    if state.at <= now < ready:  # an end in the future: somebody set the clock
        again = f"{ended}, {failures} times in a row; restarts after {delay(failures):g} s"
        passing = failures <= SETTLING_FAILURES
        return Wait(key(seen.name), again, until=ready, passing=passing, code="crash-loop")
    return _start(seen, blocked, ended, seen.restarts + 1, failures)


def _after_stop(seen: SeenContainer, state: Exited) -> tuple[str, int, int]:
    """Cause and counts of the start after a stop: one that `heal` asked for counts as a failure."""
    if seen.health is not None and seen.health.state == "unhealthy":
        return "was unhealthy", seen.restarts + 1, _failures(seen, state.since, seen.health.since)
    return "was stopped, and is wanted", seen.restarts + 1, 0


def _failures(seen: SeenContainer, since: float, until: float) -> int:
    """Failures in a row with the one at `until`. Whoever was well for long begins anew: as it says, if it is asked."""
    if seen.health is not None:
        since = until if seen.health.first is None else seen.health.first
    return 0 if until - since >= STEADY_AFTER else seen.failures + 1


def _start(seen: SeenContainer, blocked: Reason | None, cause: str, restarts: int, failures: int) -> Task | Wait:
    if blocked:
        return Wait(key(seen.name), blocked.text, code=blocked.code)
    steps: list[Step] = []
    if isinstance(seen.state, Created):
        steps.append(KillContainer(seen.id, seen.name))
    if not seen.mounted:
        steps.append(MountContainer(seen.id, seen.name))
    if not seen.connected:
        steps.append(ConnectContainer(seen.id, seen.name, seen.endpoints))
    steps.append(StartContainer(seen.id, seen.name, restarts, failures))
    return Task(key(seen.name), cause, tuple(steps), about=seen.revision)
