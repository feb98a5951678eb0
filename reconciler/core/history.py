"""The flight recorder's records: what was done with each instance of a container, and each revision of an app. Pure.

A `Life` is kept for each instance, with what it was made from and instead of what, the tasks that were executed on it
as they were planned, and how it ended. An `AppRevision` is kept whenever what an app's spec means becomes another. Both
come from values; `daemon.recorder` says when, `host.history` writes. How they are told stands in `retrospect`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from reconciler.core.decode import decode
from reconciler.core.facts import Facts, facts
from reconciler.core.images import image_of
from reconciler.core.model import Container, Desired, Exited, Observed, Running, SeenContainer, digest, revision
from reconciler.core.remembering import DrainContainer, QuarantineRevision
from reconciler.core.steps import (
    CleanContainer,
    ConnectContainer,
    CreateContainer,
    RemoveContainer,
    RotateLog,
    Step,
    Task,
)
from reconciler.errors import Failure

FIRST_ACTS, LAST_ACTS = 4, 12  # of a life that are kept; a crash loop has many
ENDS = 8
STEPS = 20  # lines of a plan
LINES = 20  # of output
LONGEST = 300  # characters of any of these lines
SHORTEST_SECRET = 6  # characters; shorter values are words that say nothing
HIDDEN = "***"

_UPKEEP = (ConnectContainer, RotateLog, CleanContainer)  # a task of only these changes nothing of a life


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A task that was executed: its key, its cause, its steps as the plan prints them, "" or why it failed."""

    at: float
    key: str
    cause: str
    plan: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A run that ended. `asked`: it had been told to stop."""

    at: float
    code: int
    oom: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One instance. `before` is what it replaced, the id "" for nothing; `count` are all ends, `output` the last lines.

    `fault` says why its revision went into quarantine. `gone` is when it was seen no more, None while it is there.
    """

    id: str
    name: str
    app: str
    service: str
    revision: str
    image: str
    digest: str
    at: float
    app_revision: str = ""
    facts: Facts = ()
    before: str = ""
    before_revision: str = ""
    before_facts: Facts = ()
    acts: tuple[Act, ...] = ()
    ends: tuple[End, ...] = ()
    count: int = 0
    output: tuple[str, ...] = ()
    fault: str = ""
    gone: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service in a revision of its app: of its replicas the revisions by name, and what the first one declares."""

    name: str
    image: str
    digest: str
    revisions: tuple[tuple[str, str], ...]
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRevision:
    """What an app was to be from `at` on. No services: it was gone."""

    app: str
    revision: str
    at: float
    services: tuple[Service, ...] = ()


Record = Life | AppRevision


@dataclass(frozen=True, slots=True)
class History:
    """All that is kept, oldest first."""

    lives: tuple[Life, ...] = ()
    revisions: tuple[AppRevision, ...] = field(default=())


# --- as text -----------------------------------------------------------------------------------------------------


def render(record: Record) -> str:
    """A record as it is kept."""
    return json.dumps({"kind": type(record).__name__, **asdict(record)}, separators=(",", ":"))


def parse(text: str) -> Record:
    """The inverse. Raises ValueError, KeyError or TypeError."""
    given = json.loads(text)
    match given["kind"]:
        case "Life":
            return decode(Life, given)
        case "AppRevision":
            return decode(AppRevision, given)
        case other:
            raise ValueError(f"{other!r} is no kind of record")


def name_of(record: Record) -> str:
    """What its file is called."""
    if isinstance(record, Life):
        return record.id
    return f"{record.app}@{record.at:.3f}-{record.revision[:16]}"


# --- what is kept ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record that is kept: its name, what it is one of many of, when it was made, and how many bytes it has."""

    name: str
    group: str
    at: float
    size: int


def entry(record: Record, size: int) -> Entry:
    """How `record` counts."""
    group = record.name if isinstance(record, Life) else f"{record.app}@"
    return Entry(name=name_of(record), group=group, at=record.at, size=size)


def surplus(entries: Iterable[Entry], most: int, bytes_: int) -> tuple[str, ...]:
    """The names of the records that have to go, oldest first: more than `most` of a group, or `bytes_` in total."""
    newest = sorted(entries, key=lambda one: (one.at, one.name), reverse=True)
    seen: dict[str, int] = defaultdict(int)
    size, gone = 0, []
    for one in newest:
        seen[one.group] += 1
        if seen[one.group] > most or size + one.size > bytes_:
            gone.append(one.name)
        else:
            size += one.size
    return tuple(reversed(gone))


@dataclass(frozen=True, slots=True)
class Done:
    """A task that was executed, how that failed if it did, and when."""

    task: Task
    failure: Failure | None
    at: float


# --- what is recorded of a step ------------------------------------------------------------------------------------


def concerns(task: Task) -> tuple[str, ...]:
    """The ids of the instances whose lives `task` is part of; none of what is mere upkeep."""
    if all(isinstance(step, _UPKEEP) for step in task.steps):
        return ()
    ids = [id for step in task.steps for id in _ids(step)]
    return tuple(dict.fromkeys(ids))


def made(task: Task) -> dict[str, Container]:
    """What `task` makes, by id."""
    return {step.id: step.container for step in task.steps if isinstance(step, CreateContainer)}


def removed(task: Task) -> tuple[str, ...]:
    """The ids of those whose output is gone once `task` is done."""
    return tuple(step.id for step in task.steps if isinstance(step, RemoveContainer))


def born(task: Task, key: str, at: float, of_apps: Mapping[str, str]) -> Iterator[Life]:
    """The lives that begin with `task`; `of_apps` are the revisions that apps have now."""
    for step in task.steps:
        if isinstance(step, CreateContainer):
            of = step.container
            yield Life(
                id=step.id, name=of.name, app=of.app, service=of.service, revision=step.revision,
                image=of.image, digest=step.image.digest, at=at, app_revision=of_apps.get(of.app, ""),
                facts=facts(of, step.image.digest, key),
            )  # fmt: skip


def found(seen: SeenContainer, made_from: Container | None, key: str) -> Life:
    """The life of an instance whose beginning was not recorded; `made_from` is None when that is not known."""
    return Life(
        id=seen.id, name=seen.name, app=seen.app, service=seen.service, revision=seen.revision, image=seen.image,
        digest=seen.image_digest, at=seen.created_at,
        facts=facts(made_from, seen.image_digest, key) if made_from else (),
    )  # fmt: skip


def instead_of(life: Life, before: Life | None) -> Life:
    """`life`, which replaced `before`."""
    if before is None:
        return life
    return replace(life, before=before.id, before_revision=before.revision, before_facts=before.facts)


def joined(life: Life, known: Life | None) -> Life:
    """`life` with what a look found out of it before its task had ended."""
    return replace(life, ends=known.ends, count=known.count, output=known.output) if known else life


def acted(life: Life, done: Done, secrets: Collection[str] = ()) -> Life:
    """`life` after a task was executed on it; `secrets` are not in what is kept, as causes quote what it said."""
    task = done.task
    plan = tuple(masked(str(step), secrets) for step in task.steps[:STEPS])
    error = masked(done.failure.message, secrets) if done.failure else ""
    act = Act(at=done.at, key=task.key, cause=masked(task.cause, secrets), plan=plan, error=error)
    same = bool(life.acts) and replace(life.acts[-1], at=done.at) == act  # tried again and again, and failed as before
    acts = (*life.acts[:-1], act) if same else (*life.acts, act)
    if len(acts) > FIRST_ACTS + LAST_ACTS:
        acts = (*acts[:FIRST_ACTS], *acts[-LAST_ACTS:])
    faults = [step.quarantine for step in task.steps if isinstance(step, QuarantineRevision) and step.id == life.id]
    fault = masked(f"{faults[0].fault}: {faults[0].ended}", secrets) if faults else life.fault
    return replace(life, acts=acts, fault=fault)


def ended(life: Life, state: Exited) -> Life:
    """`life` after a run of it ended; what is known already is not counted again."""
    end = End(at=state.at, code=state.code, oom=state.oom, asked=state.stopped)
    if any(known.at >= end.at for known in life.ends):
        return life
    return replace(life, ends=(*life.ends, end)[-ENDS:], count=life.count + 1)


def with_output(life: Life, lines: Iterable[str], secrets: Collection[str]) -> Life:
    """`life` with the last lines that it wrote; the values of its environment are not in them."""
    kept = tuple(filter(None, (masked(line, secrets) for line in lines)))[-LINES:]
    return replace(life, output=kept) if kept else life


def secrets_of(container: Container) -> frozenset[str]:
    """What of its output is hidden: values of its environment, line by line."""
    values = (line.strip() for _, value in container.environment for line in (value, *value.splitlines()))
    return frozenset(value for value in values if len(value) >= SHORTEST_SECRET)


def masked(line: str, secrets: Collection[str]) -> str:
    """Output of a stranger as it may be kept: hidden first and cut then, so that no half of a secret is left."""
    for secret in sorted(secrets, key=len, reverse=True):
        line = line.replace(secret, HIDDEN)
    return _line(line)


def _ids(step: Step) -> Iterator[str]:
    if isinstance(step, DrainContainer):
        yield step.successor
    id = getattr(step, "id", "")
    if id:
        yield id


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:LONGEST].strip()


# --- whose turn it was -------------------------------------------------------------------------------------------


def predecessor(name: str, id: str, observed: Observed, lives: Iterable[Life]) -> str:
    """The id of what the instance `id` of `name` takes the place of: who runs, else who was there last; "" for none."""
    there = [seen for seen in observed.containers.values() if seen.name == name and seen.id != id]
    if there:
        return max(there, key=lambda seen: (isinstance(seen.state, Running), seen.created_at)).id
    past = [life for life in lives if life.name == name and life.id != id]
    return max(past, key=lambda life: life.at).id if past else ""


def revisions(desired: Desired, observed: Observed, known: Mapping[str, str], key: str, at: float) -> list[AppRevision]:
    """The apps whose revision is another than the `known` one; none of those of which nobody can tell now."""
    apps: dict[str, list[Container]] = defaultdict(list)
    for wanted in desired.containers.values():
        apps[wanted.app].append(wanted)
    there = {seen.app for seen in observed.containers.values()}  # what is left of an app may still be held
    gone = [] if desired.unavailable else sorted(known.keys() - apps.keys() - desired.held.keys() - there)
    left = [AppRevision(app=app, revision=NOTHING, at=at) for app in gone]
    return [*_changed(apps, observed, known, key, at), *(one for one in left if known[one.app] != NOTHING)]


def _changed(
    apps: Mapping[str, list[Container]], observed: Observed, known: Mapping[str, str], key: str, at: float
) -> Iterator[AppRevision]:
    """Those whose images are all here, and that are not as they were."""
    for app, wanted in sorted(apps.items()):
        made = [(one, image.digest) for one in wanted if (image := image_of(one, observed.images))]
        named = app_revision((one.name, revision(one, image)) for one, image in made)
        if len(made) == len(wanted) and named != known.get(app):
            yield AppRevision(app=app, revision=named, at=at, services=_services(made, key))


def _services(made: Iterable[tuple[Container, str]], key: str) -> tuple[Service, ...]:
    services: dict[str, list[tuple[Container, str]]] = defaultdict(list)
    for container, image in sorted(made, key=lambda one: (one[0].service, one[0].replica)):
        services[container.service].append((container, image))
    return tuple(
        Service(
            name=name,
            image=replicas[0][0].image,
            digest=replicas[0][1],
            revisions=tuple((one.name, revision(one, image)) for one, image in replicas),
            facts=facts(*replicas[0], key),
        )
        for name, replicas in services.items()
    )


def app_revision(revisions: Iterable[tuple[str, str]]) -> str:
    """The revision of an app: a digest of those of its containers, by name."""
    return digest(json.dumps(dict(sorted(revisions)), separators=(",", ":")))


NOTHING = app_revision(())
