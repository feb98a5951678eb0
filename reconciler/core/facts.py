"""What a container is made of, as it may be kept and shown: by name, without a value that could be a secret. Pure.

A value is shown only where its kind says that it holds none. Of all others there is a mark, a keyed digest, by which
two records are compared: that TOKEN is another one now can be told, what it is cannot. The key never leaves the host's
state directory, and marks are not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass
from hashlib import blake2s
from typing import cast

from reconciler.core.canonical import canonical
from reconciler.core.model import BindMount, Container, Mount, VolumeMount
from reconciler.core.networking import Port

LONGEST = 200  # characters of a value
MOST = 500  # facts of a container

# these hold no secrets; whatever is not named here is hidden, so that a new field is, too
_SHOWN = frozenset(
    {"image", "networks", "ports", "host_network", "shares", "user", "hostname", "domainname", "expose", "platform"}
    | {"read_only", "init", "cap_add", "cap_drop", "stop_signal", "stop_grace_period", "restart", "resources"}
    | {"depends_on", "pull_policy", "locked", "updates", "healthcheck", "schedule"}
)
_HIDDEN = frozenset({"healthcheck.test"})  # but of these some part may
_PAIRS = frozenset({"environment", "labels", "sysctls", "extra_hosts"})
_IDENTITY = frozenset({"name", "app", "service", "replica", "spec"})


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is declared. `text` is its value, "" when that is not shown; `mark` tells values apart."""

    name: str
    text: str
    mark: str


Facts = tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two revisions: a value before and after, None where there was none, "" if not shown."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.name}" + (f": {self.after}" if self.after else "")
        if self.after is None:
            return f"- {self.name}" + (f": {self.before}" if self.before else "")
        return f"~ {self.name}: " + (f"{self.before} -> {self.after}" if self.before or self.after else "another value")


def facts(container: Container, digest: str, key: str) -> Facts:
    """Everything that `container`, made from the image `digest`, declares but its identity; sorted, of bounded size."""
    found = [*_facts(container), ("image digest", digest, True)]
    return tuple(
        Fact(name[:LONGEST], text[:LONGEST] if shown else "", _mark(name, text, key))
        for name, text, shown in sorted(found)[:MOST]
    )


def difference(before: Facts, after: Facts) -> tuple[Difference, ...]:
    """What `after` has otherwise than `before`."""
    old, new = {fact.name: fact for fact in before}, {fact.name: fact for fact in after}
    return tuple(
        Difference(name, old[name].text if name in old else None, new[name].text if name in new else None)
        for name in sorted(old.keys() | new.keys())
        if name not in old or name not in new or old[name].mark != new[name].mark
    )


def _mark(name: str, text: str, key: str) -> str:
    return blake2s(f"{name}\0{text}".encode(errors="replace"), key=bytes.fromhex(key), digest_size=8).hexdigest()


def _facts(container: Container) -> Iterator[tuple[str, str, bool]]:
    declared = cast("dict[str, object]", canonical(container))
    for entry in fields(container):
        value = getattr(container, entry.name)
        if entry.name in _IDENTITY or entry.name not in declared:
            continue
        if entry.name in _PAIRS:
            yield from ((f"{entry.name}.{name}", text, False) for name, text in value)
        elif entry.name == "mounts":
            yield from (_mount(mount) for mount in value)
        elif entry.name == "ports":
            yield entry.name, ", ".join(map(_port, value)), True
        elif entry.name in _SHOWN:
            yield from _parts(entry.name, declared[entry.name])
        else:
            yield entry.name, _text(value), False


def _mount(mount: Mount) -> tuple[str, str, bool]:
    """Paths of the host are not shown, as in Docker's view of the socket."""
    name = f"mounts.{mount.target}"
    match mount:
        case VolumeMount():
            return name, f"volume {mount.volume}" + (", read only" if mount.read_only else ""), True
        case BindMount():
            return name, _text(mount), False
        case _:
            return name, _text(mount), False


def _port(port: Port) -> str:
    return f"{port.host_ip or '*'}:{port.published}->{port.target}/{port.protocol}"


def _parts(name: str, value: object) -> Iterator[tuple[str, str, bool]]:
    """A value of several parts as a fact for each, as `restart.policy`; of a list each entry is called by its first."""
    match value:
        case dict() if name not in _HIDDEN:
            for key, part in value.items():
                yield from _parts(f"{name}.{key}", part)
        case [dict(), *_]:
            for entry in cast("list[dict[str, object]]", value):
                first, *more = entry.items()
                yield from _parts(f"{name}.{first[1]}", dict(more) or True)
        case _:
            shown = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            yield name, shown, name not in _HIDDEN


def _text(value: object) -> str:
    """The same for equal values."""
    if isinstance(value, tuple):
        return "[" + ",".join(_text(item) for item in value) + "]"
    data = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
