"""The names that go into the queue: what to look at again. An event is only ever one of these.

`touched(task)` says which of them a finished task concerns; everything else rings a doorbell of its own.
"""

from __future__ import annotations

from reconciler.core.remembering import (
    ForgetRevisions,
    ForgetRuns,
    KeepEnd,
    KeepGood,
    KeepJob,
    NoteRemovals,
    QuarantineRevision,
)
from reconciler.core.steps import (
    ApplyRuleset,
    CheckImage,
    CollectImages,
    ConnectContainer,
    CreateNetwork,
    CreateVolume,
    DisconnectContainer,
    GuardRoutes,
    PullImage,
    RemoveNetwork,
    RemoveRuleset,
    ResolveNames,
    ServeNames,
    StopNames,
    Task,
    WriteNames,
)

EVERYTHING = "*"
SPECS = "specs"
LINKS = "links"
RULES = "rules"
NAMES = "names"
LISTENERS = "listeners"
VOLUMES = "volumes"
IMAGES = "images"
REVISIONS = "revisions"
CONTAINER = "container:"  # followed by the container's id


def touched(task: Task) -> frozenset[str]:  # noqa: C901 - one flat match, a line a kind
    """What may be different now that `task` has ended, well or not."""
    names: set[str] = set()
    for step in task.steps:
        match step:
            case PullImage() | CheckImage() | CollectImages():
                names.add(IMAGES)
            case CreateNetwork() | RemoveNetwork():
                names.add(LINKS)
            case CreateVolume():
                names.add(VOLUMES)
            case ApplyRuleset() | RemoveRuleset() | GuardRoutes():
                names.add(RULES)
            case ServeNames() | StopNames() | WriteNames() | ResolveNames():
                names.add(NAMES)
            case KeepGood() | QuarantineRevision() | ForgetRevisions() | NoteRemovals():
                names.add(REVISIONS)
            case KeepJob() | KeepEnd() | ForgetRuns():  # one look reads both
                names.add(REVISIONS)
            case ConnectContainer() | DisconnectContainer():
                names |= {CONTAINER + step.id, LINKS}
            case _:
                names.add(CONTAINER + step.id)
    return frozenset(names)
