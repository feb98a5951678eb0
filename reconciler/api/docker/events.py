"""Events as dockerd tells them: our closed vocabulary in Docker's, with the attributes that its readers look at.

Pure: one event of ours gives one of Docker's or none. Exec events do not exist, as they tell command lines.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.api.docker import filters as by
from reconciler.api.docker.entry import network_id
from reconciler.api.docker.entry import shown as shown_container
from reconciler.api.question import Json
from reconciler.core.status import Event, Snapshot

# kind -> our action -> Docker's; what is missing has no counterpart there
_ACTIONS: Mapping[str, Mapping[str, str]] = {
    "container": {
        "created": "create", "started": "start", "died": "die",
        "removed": "destroy", "stopping": "kill",
        "healthy": "health_status: healthy", "unhealthy": "health_status: unhealthy",
    },
    "image": {"pulled": "pull", "removed": "delete"},
    "network": {"created": "create", "removed": "destroy", "connected": "connect", "disconnected": "disconnect"},
    "volume": {"created": "create", "removed": "destroy"},
}  # fmt: skip


def shown(event: Event, snapshot: Snapshot) -> Json | None:
    """`event` in Docker's form, None when Docker has no such event."""
    action = _ACTIONS.get(event.kind, {}).get(event.action)
    if action is None or (event.kind == "container" and len(event.container) != 64):
        return None
    attributes = _attributes(event, snapshot)
    id = {"container": event.container, "network": network_id(event.name)}.get(event.kind, event.name)
    legacy: Json = {}
    if event.kind in {"container", "image"}:
        legacy = {"status": action, "id": id}
    if event.kind == "container":
        legacy["from"] = attributes.get("image", "")
    return {
        **legacy,
        "Type": event.kind,
        "Action": action,
        "Actor": {"ID": id, "Attributes": attributes},
        "scope": "local",
        "time": int(event.at),
        "timeNano": int(event.at * 1_000_000) * 1000,
    }


def _attributes(event: Event, snapshot: Snapshot) -> dict[str, str]:
    own = dict(event.attributes)
    seen = snapshot.observed.containers.get(event.container)
    if event.kind != "container" or seen is None:
        return {"name": event.name, **own}
    return {**shown_container(seen, snapshot).labels, "image": seen.image, "name": seen.name, **own}


def accepts(event: Json, filters: by.Filters) -> bool:
    """Whether Docker's form of an event passes the filters."""
    return by.accepts(event, filters, FILTERS)


def _actor(event: Json) -> tuple[str, dict[str, str]]:
    actor = event["Actor"]
    assert isinstance(actor, dict)
    return actor["ID"], actor["Attributes"]


def _is(kind: str) -> by.Test[Json]:
    """A test for the id (or its beginning) or the name of what an event is about."""

    def test(event: Json, wanted: str) -> bool:
        id, attributes = _actor(event)
        if kind == "image" and event["Type"] == "container":
            return attributes.get("image") == wanted
        return event["Type"] == kind and (attributes.get("name") == wanted or (bool(wanted) and id.startswith(wanted)))

    return test


def _action(event: Json, wanted: str) -> bool:
    action = str(event["Action"])
    return action == wanted or action.startswith(f"{wanted}:")  # health_status matches "health_status: healthy"


FILTERS: dict[str, by.Test[Json]] = {
    "type": lambda event, wanted: event["Type"] == wanted,
    "event": _action,
    "action": _action,
    "container": _is("container"),
    "image": _is("image"),
    "network": _is("network"),
    "volume": _is("volume"),
    "daemon": _is("daemon"),
    "label": lambda event, wanted: by.label(_actor(event)[1], wanted),
    "scope": lambda event, wanted: event["scope"] == wanted,
}
