"""No, and why: for every request that has no answer, the status that clients understand and a sentence for people.

A closed list of what Docker's API has and this socket does not. Which status means what to which client stands in
DOCKER-API; the sentence names what to do instead.
"""

from __future__ import annotations

import re

from reconciler.api.question import RefusalError
from reconciler.core.status import Snapshot
from reconciler.settings import Settings

_WRITES = re.compile(
    r"/(containers|images|networks|volumes|build|commit|exec|swarm|nodes|services|tasks|secrets|configs|plugins|auth|session|grpc)(/.*)?"
)
_CONTAINER = re.compile(r"/containers/([^/]+)(/.*)?")
_LEAKY = re.compile(
    r"/containers/[^/]+/(attach/ws|archive|export)|/images/get|/images/search|/images/.+/get|/distribution/.+"
    r"|/exec/[^/]+/json|/debug(/.*)?"
)
_LATER = re.compile(r"/containers/[^/]+/(logs|stats|top|changes)|/images/.+/history|/system/df")
_SWARM = re.compile(r"/(swarm|nodes|services|tasks|secrets|configs)(/.*)?")


def refusal(method: str, path: str, served: bool, snapshot: Snapshot, settings: Settings) -> RefusalError:
    """Why `method` on `path` gets no answer. `served` says that the path itself can be read."""
    if method in {"GET", "HEAD"}:
        return _unread(path)
    writes = method == "DELETE" or (method in {"POST", "PUT"} and not served)
    if not writes or not _WRITES.fullmatch(path):
        return RefusalError(405, f"cannot {method} here: this socket is read only; the files are the only way in")
    return RefusalError(
        403, f"cannot change anything here: the files are the only way in: edit {_file(path, snapshot, settings)}"
    )


def _file(path: str, snapshot: Snapshot, settings: Settings) -> str:
    """Which file to edit instead."""
    match = _CONTAINER.fullmatch(path)
    wanted = match[1].removeprefix("/") if match else ""
    for seen in snapshot.observed.containers.values():
        if wanted and (seen.name == wanted or (len(wanted) >= 12 and seen.id.startswith(wanted))):
            return f"the spec {settings.specs / seen.spec}"
    return f"the specs in {settings.specs}"


def _unread(path: str) -> RefusalError:
    if _LEAKY.fullmatch(path):
        return RefusalError(
            403, f"cannot serve {path}: it hands out contents or reaches out, and this socket only shows state"
        )
    if _LATER.fullmatch(path):
        return RefusalError(501, f"cannot serve {path}: not part of this release")
    if _SWARM.fullmatch(path):
        return RefusalError(503, "This node is not a swarm manager: reconciler keeps one host.")
    return RefusalError(404, "page not found")
