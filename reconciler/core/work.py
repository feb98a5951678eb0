"""What a task does, and what its failure is called: as codes of `reasons`. Pure; `why` and the owner of retry ask.

The tables are closed over the union of steps and over `Fault`; a test says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.core.reasons import Code
from reconciler.core.remembering import (
    DrainContainer,
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
    CleanContainer,
    CollectImages,
    ConnectContainer,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    DisconnectContainer,
    GuardRoutes,
    KillContainer,
    MountContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveRuleset,
    ResolveNames,
    RotateLog,
    RunHooks,
    ServeNames,
    StartContainer,
    Step,
    StopContainer,
    StopNames,
    Task,
    WriteNames,
)
from reconciler.errors import Fault

_WORK: Mapping[Code, tuple[type[Step], ...]] = {
    "pulling": (PullImage, CheckImage),
    "preparing": (CreateNetwork, CreateVolume),
    "starting": (CreateContainer, MountContainer, ConnectContainer, StartContainer),
    "running-hooks": (RunHooks,),
    "ending": (StopContainer, KillContainer),
    "removing": (DisconnectContainer, RemoveContainer, RemoveNetwork, StopNames, RemoveRuleset),
    "noting": (
        DrainContainer, KeepGood, QuarantineRevision, ForgetRevisions, NoteRemovals, KeepJob, KeepEnd, ForgetRuns,
    ),
    "tidying": (
        CollectImages, CleanContainer, RotateLog, ApplyRuleset, GuardRoutes, ServeNames, WriteNames, ResolveNames,
    ),
}  # fmt: skip
WORK: Mapping[type[Step], Code] = {step: code for code, steps in _WORK.items() for step in steps}
FAULTS: Mapping[Fault, Code] = {
    "full": "disk-full",
    "denied": "pull-denied",
    "absent": "pull-absent",
    "unreachable": "pull-unreachable",
    "distrusted": "pull-distrusted",
}


def doing(task: Task) -> Code:
    """What `task` does: what its last step is for."""
    return "repairing" if task.drift else WORK[type(task.steps[-1])]


def failed(task: Task, fault: Fault) -> Code:
    """What the failure of `task` is called, when `fault` is what went wrong."""
    if code := FAULTS.get(fault):
        return code
    if doing(task) == "pulling":
        return "pull-failed"
    return "hook-failed" if any(isinstance(step, RunHooks) for step in task.steps) else "step-failed"
