"""Why an app, or a service of it, is not as its spec says: `why(snapshot, app, service)`. Pure; nothing is stored.

Everything that a snapshot knows of what is not well becomes a `Cause` with a code of `reasons`: what waits, what
failed, what is being done. A cause is told to every app that it touches. Called by `api` and, for since when, by the
loop.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from reconciler.core.mounts import volumes_of
from reconciler.core.reasons import EXPLAINED, Code, Since
from reconciler.core.reference import image_key
from reconciler.core.removal import strays
from reconciler.core.status import Snapshot
from reconciler.core.work import WORK, doing
from reconciler.errors import ReconcilerError

ALL = ("", "")  # every app

_OF_CONTAINERS = frozenset({"container", "health", "clean", "log", "good"})
_OF_NETWORKS = frozenset({"network", "names", "resolver"})
_WORK = frozenset({"repairing", *WORK.values()})
_BESIDE = frozenset({"firewall-foreign", "mirror-failed"})  # of others: nothing is left for us to do


class UnknownNameError(ReconcilerError):
    """There is no such app or service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is not well. `since` and `retry_at` in seconds since the epoch, None: nobody can tell.

    `key` is the task or wait, `message` its sentence, which is the last error where something failed.
    """

    key: str
    code: Code
    message: str
    advice: str
    since: float | None = None
    retry_at: float | None = None
    failures: int = 0  # in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The answer. `since` is when the newest of its causes came, or since when all is well; None: nobody can tell."""

    at: float
    app: str
    service: str  # "" for all of the app
    converged: bool
    since: float | None
    causes: tuple[Cause, ...]


def why(snapshot: Snapshot, app: str, service: str = "") -> Why:
    """Why `app`, or one service of it, is not as its spec says. Raises UnknownNameError."""
    _check(snapshot, app, service)
    users = _users(snapshot)
    found = tuple(cause for cause in causes(snapshot) if users.touches(cause.key, app, service))
    open_ = [cause for cause in found if cause.code not in _BESIDE]
    ill = [cause.since for cause in open_ if cause.since is not None]
    return Why(
        at=snapshot.at,
        app=app,
        service=service,
        converged=not open_,
        since=min(ill, default=None) if open_ else snapshot.since.well.get(app),
        causes=found,
    )


def causes(snapshot: Snapshot) -> tuple[Cause, ...]:
    """Everything that is not well: what failed first, then what waits, then what is being done."""
    return tuple(sorted(_causes(snapshot), key=lambda cause: (cause.code in _WORK, not cause.failures, cause.key)))


def since(before: Snapshot, after: Snapshot) -> Since:
    """Since when each cause of `after` is one, and since when each app without any is well."""
    found = causes(after)
    if not found and not before.since.ill and after.desired is before.desired:
        return before.since
    ill = {(cause.key, cause.code): cause.since or after.at for cause in found}
    ill |= {key: before.since.ill[key] for key in ill.keys() & before.since.ill.keys()}
    open_ = [cause for cause in found if cause.code not in _BESIDE]
    users = _users(after)
    touched = {app for cause in open_ for app, _ in users.of(cause.key)}
    well = {} if "" in touched else dict.fromkeys(apps(after) - touched, after.at)
    well |= {app: before.since.well[app] for app in well.keys() & before.since.well.keys()}
    return Since(ill, well)


def apps(snapshot: Snapshot) -> frozenset[str]:
    """All that there are: declared, on the host, or held."""
    return frozenset(app for app, _ in _services(snapshot)) | frozenset(
        _app_of(name) for name in snapshot.desired.held if _app_of(name)
    )


# --- what is not well --------------------------------------------------------------------------------------------


def _causes(snapshot: Snapshot) -> Iterator[Cause]:
    for wait in snapshot.plan.waits:
        yield _cause(snapshot, wait.key, wait.code, wait.reason, wait.until)
    failed = {key: outcome for key, outcome in snapshot.outcomes.items() if outcome.error}
    for key, outcome in failed.items():
        cause = _cause(snapshot, key, outcome.code, outcome.error, outcome.retry_at)
        yield Cause(
            key=cause.key, code=cause.code, message=cause.message, advice=cause.advice, since=cause.since,
            retry_at=None if key in snapshot.busy else cause.retry_at, failures=outcome.failures,
        )  # fmt: skip
    tasks = {task.key: task for task in (*snapshot.plan.tasks, *snapshot.doing)}
    for key, task in tasks.items():
        if key not in failed:
            yield _cause(snapshot, key, doing(task), task.cause, None)
    for obstacle in snapshot.observed.obstacles if snapshot.observed.networks else ():
        yield _cause(snapshot, "firewall", "firewall-foreign", obstacle, None)
    for name, said in snapshot.observed.mirrors.items():
        yield _cause(snapshot, f"mirror:{name}", "mirror-failed", said, None)


def _cause(snapshot: Snapshot, key: str, code: Code, message: str, until: float | None) -> Cause:
    known = snapshot.since.ill.get((key, code))
    return Cause(
        key=key, code=code, message=message, advice=EXPLAINED[code].advice, since=known, retry_at=until,
    )  # fmt: skip


# --- whom it touches ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Users:
    """Who is touched by what: apps and services, by kind and name; a service of "" is the whole app."""

    known: Mapping[tuple[str, str], Set[tuple[str, str]]]

    def of(self, key: str) -> Set[tuple[str, str]]:
        """Those that the key of a task or wait is about."""
        kind, _, name = key.partition(":")
        if kind in _OF_CONTAINERS:
            return self.known.get(("container", name.partition("@")[0]), frozenset())
        if kind in _OF_NETWORKS:
            return self.known.get(("network", name.partition("+")[0]), frozenset())
        if kind in {"image", "volume"}:
            return self.known.get((kind, name), frozenset())
        if kind == "held":
            return {(app, "") for app in (_app_of(name), *(app for app, _ in self.known.get(("spec", name), ())))}
        if kind == "removals":
            return self.known.get(("removals", ""), frozenset())
        return {(name, "")} if kind in {"removal", "tombstone"} else {ALL}

    def touches(self, key: str, app: str, service: str) -> bool:
        """Whether it is about `app`, or its `service`, which is touched by what touches all of its app, too."""
        users = self.of(key)
        if ALL in users or (app, "") in users:
            return True
        return (app, service) in users if service else any(user == app for user, _ in users)


def _users(snapshot: Snapshot) -> _Users:
    known: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for wanted in snapshot.desired.containers.values():
        places = [("container", wanted.name), ("image", image_key(wanted.pulls, wanted.platform))]
        places += [("network", entry.network) for entry in wanted.networks]
        places += [("volume", name) for name in volumes_of(wanted)]
        for place in places:
            known[place].add((wanted.app, wanted.service))
    for seen in snapshot.observed.containers.values():
        places = [("container", seen.name), ("spec", seen.spec)]
        places += [("network", endpoint.network.name) for endpoint in seen.endpoints]
        for place in places:
            known[place].add((seen.app, seen.service))
    known["removals", ""] = {(app, "") for app in strays(snapshot.desired, snapshot.observed)}
    return _Users(known)


def _app_of(held: str) -> str:
    """The app that a held name stands for: an app has no dot, a path has; see README for how apps are named."""
    folder, _, file = held.rpartition("/")
    stem = file.rpartition(".")[0]
    return held if "." not in held else folder.rpartition("/")[2] if stem == "compose" else stem


# --- names -------------------------------------------------------------------------------------------------------


def _services(snapshot: Snapshot) -> Set[tuple[str, str]]:
    declared = {(wanted.app, wanted.service) for wanted in snapshot.desired.containers.values()}
    return declared | frozenset((seen.app, seen.service) for seen in snapshot.observed.containers.values())


def _check(snapshot: Snapshot, app: str, service: str) -> None:
    known = apps(snapshot)
    if app not in known:
        raise UnknownNameError(f"cannot find app '{app}': no spec declares it{near(app, known)}")
    services = {name for owner, name in _services(snapshot) if owner == app}
    if service and service not in services:
        raise UnknownNameError(
            f"cannot find service '{service}' of app '{app}': there is none{near(service, services)}"
        )


def near(name: str, known: Set[str]) -> str:
    """What was probably meant, as the end of a sentence."""
    found = difflib.get_close_matches(name, sorted(known), 1)
    if found:
        return f"; did you mean '{found[0]}'?"
    return f"; there are {', '.join(sorted(known)[:10])}" if known else ""
