"""What the flight recorder's records tell: `listing` for the table, `show` for one revision of an app. Pure.

REVISION is that of an app: the digest of the revisions of all its containers, by name, as its spec was resolved, images
included. The beginning of it is enough, and that of a container's revision means the newest revision of the app that
had it. Marks of hidden values are left out here, as is everything that only the recorder needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.core.facts import Difference, Facts, difference
from reconciler.core.history import Act, AppRevision, End, History, Life, Service
from reconciler.core.why import UnknownNameError, near

SHORT = 12  # characters of a revision in a table

What = Literal["revised", "made", "replaced", "ended", "quarantined", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: what happened to whom, and why."""

    at: float
    app: str
    name: str  # of the container; of the app when it was revised
    what: What
    revision: str
    detail: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A service as a revision declares it, by name and value; a value of "" is not shown."""

    name: str
    image: str
    digest: str
    revisions: tuple[tuple[str, str], ...]
    spec: tuple[tuple[str, str], ...]
    changed: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What was recorded of one container of a revision."""

    id: str
    name: str
    revision: str
    digest: str
    at: float
    cause: str
    before: str
    before_revision: str
    before_spec: tuple[tuple[str, str], ...]
    changed: tuple[Difference, ...]
    acts: tuple[Act, ...]
    ends: tuple[End, ...]
    count: int
    output: tuple[str, ...]
    fault: str
    gone: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A revision of an app. `until` is when the next one came, whose revision is `successor`; None: in force."""

    app: str
    revision: str
    at: float
    until: float | None
    successor: str
    before: str
    services: tuple[Declared, ...]
    left: tuple[str, ...]  # services that the one before had
    instances: tuple[Instance, ...]


# --- the table ---------------------------------------------------------------------------------------------------


def listing(history: History, app: str = "") -> tuple[Row, ...]:
    """What happened, oldest first. Raises UnknownNameError."""
    known = {life.app for life in history.lives} | {one.app for one in history.revisions}
    if app and app not in known:
        raise UnknownNameError(f"cannot find app '{app}': nothing is recorded of it{near(app, known)}")
    rows = [row for one in history.revisions for row in _revised(one)]
    rows += [row for life in history.lives for row in _lived(life)]
    return tuple(sorted((row for row in rows if app in ("", row.app)), key=lambda row: (row.at, row.name, row.what)))


def _revised(one: AppRevision) -> Iterator[Row]:
    images = ", ".join(f"{service.name}: {service.image}" for service in one.services)
    detail = images or "no longer declared"
    yield Row(at=one.at, app=one.app, name=one.app, what="revised", revision=one.revision, detail=detail)


def _lived(life: Life) -> Iterator[Row]:
    def row(at: float, what: What, detail: str) -> Row:
        return Row(at=at, app=life.app, name=life.name, what=what, revision=life.revision, detail=detail, id=life.id)

    cause = life.acts[0].cause if life.acts else "was there"
    if life.before_revision and life.before_revision != life.revision:
        yield row(life.at, "replaced", f"{life.before_revision[:SHORT]}: {cause}")
    else:
        yield row(life.at, "made", cause)
    for end in life.ends:
        if not end.asked:
            yield row(end.at, "ended", _how(end))
    if life.fault:
        at = next((act.at for act in life.acts if any("quarantine" in step for step in act.plan)), life.at)
        yield row(at, "quarantined", life.fault)
    if life.gone is not None:
        last = f"; {_how(life.ends[-1])}" if life.ends else ""
        yield row(life.gone, "removed", f"{life.acts[-1].cause if life.acts else 'gone'}{last}")


def _how(end: End) -> str:
    return f"exit code {end.code}" + (", out of memory" if end.oom else "")


# --- one revision ------------------------------------------------------------------------------------------------


def show(history: History, app: str, prefix: str) -> Shown:
    """What was in force as revision `prefix` of `app`, and what came of it. Raises UnknownNameError."""
    of_app = [one for one in history.revisions if one.app == app]
    if not of_app:
        known = {one.app for one in history.revisions}
        raise UnknownNameError(f"cannot find app '{app}': nothing is recorded of it{near(app, known)}")
    place = _chosen(of_app, app, prefix)
    one = of_app[place]
    before = of_app[place - 1] if place else None
    after = of_app[place + 1] if place + 1 < len(of_app) else None
    until = after.at if after else None
    names = {name: revision for service in one.services for name, revision in service.revisions}
    lives = [life for life in history.lives if life.app == app and _belongs(life, one, names, until)]
    old = {service.name: service for service in before.services} if before else {}
    return Shown(
        app=app,
        revision=one.revision,
        at=one.at,
        until=until,
        successor=after.revision if after else "",
        before=before.revision if before else "",
        services=tuple(_declared(service, old.get(service.name), bool(before)) for service in one.services),
        left=tuple(sorted(old.keys() - {service.name for service in one.services})),
        instances=tuple(map(_instance, lives)),
    )  # fmt: skip


def _declared(service: Service, old: Service | None, compared: bool) -> Declared:
    return Declared(
        name=service.name,
        image=service.image,
        digest=service.digest,
        revisions=service.revisions,
        spec=_plain(service.facts),
        changed=difference(old.facts if old else (), service.facts) if compared else (),
    )


def _chosen(of_app: Sequence[AppRevision], app: str, prefix: str) -> int:
    """The place of the newest that is meant; the same revision may have been in force twice."""
    by_own = {one.revision: place for place, one in enumerate(of_app) if one.revision.startswith(prefix)}
    by_parts = {
        revision: place
        for place, one in enumerate(of_app)
        for service in one.services
        for _, revision in service.revisions
        if revision.startswith(prefix)
    }
    found = by_own or by_parts
    if not prefix or not found:
        shown = ", ".join(dict.fromkeys(one.revision[:SHORT] for one in of_app[-10:]))
        raise UnknownNameError(f"cannot find revision '{prefix}' of app '{app}': there are {shown}")
    if len(found) > 1:
        which = " or ".join(sorted(found))
        raise UnknownNameError(f"cannot choose revision '{prefix}' of app '{app}': it may be {which}; write more of it")
    return next(iter(found.values()))


def _belongs(life: Life, one: AppRevision, names: dict[str, str], until: float | None) -> bool:
    """What was made for it, and what of it was there already."""
    if life.app_revision == one.revision and (until is None or life.at < until) and life.at >= one.at:
        return True
    there = life.gone is None or life.gone > one.at
    return names.get(life.name) == life.revision and there and (until is None or life.at < until)


def _plain(of: Facts) -> tuple[tuple[str, str], ...]:
    return tuple((fact.name, fact.text) for fact in of)


def _instance(life: Life) -> Instance:
    return Instance(
        id=life.id, name=life.name, revision=life.revision, digest=life.digest, at=life.at,
        cause=life.acts[0].cause if life.acts else "", before=life.before, before_revision=life.before_revision,
        before_spec=_plain(life.before_facts),
        changed=difference(life.before_facts, life.facts) if life.before_facts else (),
        acts=life.acts, ends=life.ends, count=life.count, output=life.output, fault=life.fault, gone=life.gone,
    )  # fmt: skip
