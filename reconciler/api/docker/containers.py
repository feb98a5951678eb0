"""Containers as Docker lists and inspects them.

`listing` and `inspection` pick and filter; `container` in the module `entry` makes the list's entry, `inspect` the
long form. What is on the host is shown, also when its spec is gone; what is only desired has no id and is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.api.docker import filters as by
from reconciler.api.docker import inspect
from reconciler.api.docker.entry import Shown, entry, shown, state
from reconciler.api.docker.words import familiar
from reconciler.api.question import Json, Question, RefusalError
from reconciler.core.model import Exited, SeenContainer
from reconciler.core.status import Snapshot

_STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
_HEALTH = ("starting", "healthy", "unhealthy", "none")
_HEX = re.compile(r"[0-9a-f]{1,64}")


def listing(question: Question) -> list[Json]:
    """`/containers/json`: the newest first; only those that run, unless `all`, `limit` or a state is asked for."""
    snapshot = question.snapshot
    filters = by.parse(question.query.get("filters", ""), _TESTS)
    _check_words(filters)
    filters = _resolve(snapshot, filters)
    limit = int(question.number("limit") or 0)
    everything = question.flag("all") or limit > 0 or bool(filters.keys() & {"status", "exited"})
    found = [shown(seen, snapshot) for seen in newest_first(snapshot)]
    kept = [one for one in found if (everything or state(one) in {"running", "restarting"}) and accepts(one, filters)]
    return [entry(one, question.now) for one in (kept[:limit] if limit > 0 else kept)]


def inspection(question: Question) -> Json:
    """`/containers/{id}/json`."""
    return inspect.container(shown(pick(question.snapshot, question.path["id"]), question.snapshot))


def newest_first(snapshot: Snapshot) -> list[SeenContainer]:
    """All containers on the host."""
    return sorted(snapshot.observed.containers.values(), key=lambda seen: (-seen.created_at, seen.id))


def pick(snapshot: Snapshot, wanted: str) -> SeenContainer:
    """The container with this id, name or beginning of an id. Raises RefusalError: 404 for none, 400 for several."""
    containers = snapshot.observed.containers
    if wanted in containers:
        return containers[wanted]
    name = wanted.removeprefix("/")
    for seen in newest_first(snapshot):
        if seen.name == name:
            return seen
    found = [seen for id, seen in containers.items() if id.startswith(wanted)] if _HEX.fullmatch(wanted) else []
    if len(found) > 1:
        raise RefusalError(400, f"multiple IDs found with provided prefix: {wanted}")
    if not found:
        raise RefusalError(404, f"No such container: {wanted}")
    return found[0]


def accepts(one: Shown, filters: by.Filters) -> bool:
    """Whether the filters let it through."""
    return by.accepts(one, filters, _TESTS)


def _check_words(filters: by.Filters) -> None:
    for key, allowed in (("status", _STATES), ("health", _HEALTH)):
        for value in filters.get(key, ()):
            if value not in allowed:
                raise RefusalError(400, f"invalid filter '{key}={value}': it must be one of {', '.join(allowed)}")
    for value in filters.get("exited", ()):
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            raise RefusalError(400, f"invalid filter 'exited={value}': it must be an exit code")


def _resolve(snapshot: Snapshot, filters: by.Filters) -> by.Filters:
    """`before` and `since` name a container; its time of creation is what counts."""
    times: Mapping[str, tuple[str, ...]] = {
        key: tuple(repr(pick(snapshot, value).created_at) for value in values)
        for key, values in filters.items()
        if key in {"before", "since"}
    }
    return {**filters, **times}


def _has_port(pairs: set[str], wanted: str) -> bool:
    port, slash, protocol = wanted.partition("/")
    first, dash, last = port.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash) and len(port) <= 11):
        raise RefusalError(400, f"invalid filter: '{wanted}' is no port")
    numbers = range(int(first), min(int(last or first), 65535) + 1)
    return any(f"{number}/{protocol if slash else 'tcp'}" in pairs for number in numbers)


def _is_ancestor(one: Shown, wanted: str) -> bool:
    seen = one.seen
    tagged = familiar(seen.image)
    bare = wanted.removeprefix("sha256:")
    ids = [seen.image_digest, one.image.id if one.image else ""]
    by_id = len(bare) >= 12 and any(id.removeprefix("sha256:").startswith(bare) for id in ids)
    return by_id or familiar(wanted) in {tagged, tagged.removesuffix(":latest")}


_TESTS: dict[str, by.Test[Shown]] = {
    "id": lambda one, wanted: one.seen.id.startswith(wanted),
    "name": lambda one, wanted: by.name(one.seen.name, wanted),
    "label": lambda one, wanted: by.label(one.labels, wanted),
    "status": lambda one, wanted: state(one) == wanted,
    "health": lambda one, wanted: (one.seen.health.state if one.seen.health else "none") == wanted,
    "ancestor": _is_ancestor,
    "network": lambda one, wanted: any(wanted in {network.name, network.id} for network in one.networks),
    "volume": lambda one, wanted: any(wanted in {mount["Name"], mount["Destination"]} for mount in one.mounts),
    "exited": lambda one, wanted: isinstance(one.seen.state, Exited) and one.seen.state.code == int(wanted),
    "before": lambda one, moment: one.seen.created_at < float(moment),
    "since": lambda one, moment: one.seen.created_at > float(moment),
    "publish": lambda one, wanted: _has_port({f"{port.published}/{port.protocol}" for port in one.ports}, wanted),
    "expose": lambda one, wanted: _has_port(one.exposed, wanted),
    "is-task": lambda _, wanted: wanted.lower() in {"false", "0"},
}
