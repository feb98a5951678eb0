"""Does a task: one port call per step, in order. Decides nothing.

Runs in worker threads; `daemon.loop` hands over tasks and is told how each ended. The first step that fails ends
its task, and the next look sees what is there.
"""

from __future__ import annotations

import logging
from typing import assert_never

from reconciler.core.remembering import (
    DrainContainer,
    ForgetRevisions,
    ForgetRuns,
    KeepEnd,
    KeepGood,
    KeepJob,
    NoteRemovals,
    QuarantineRevision,
    RevisionStep,
    RunStep,
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
    NetworkStep,
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
from reconciler.errors import Failure, ReconcilerError, failure
from reconciler.ports import Ports, Report

log = logging.getLogger(__name__)


def execute(task: Task, ports: Ports, report: Report) -> Failure | None:
    """Run the steps of `task`; returns None, or why it could not be done."""
    for step in task.steps:
        try:
            perform(step, ports, report)
        except ReconcilerError as error:
            log.warning("%s: %s", task.key, error)
            return failure(error)
        except Exception as error:
            # One resource's bug must not stop the others; the traceback is for whoever mends it.
            log.warning("%s: cannot %s: unexpected %r", task.key, step, error, exc_info=log.isEnabledFor(logging.DEBUG))
            return failure(error, f"cannot {step}: unexpected {error!r}; this is a bug in reconciler")
        log.info("%s: %s (%s)", task.key, step, task.cause)
    return None


def perform(step: Step, ports: Ports, report: Report) -> None:  # noqa: C901, PLR0912 - one flat match, a line a step
    """One port call."""
    match step:
        case PullImage(reference, platform):
            ports.images.pull(reference, report, platform)
        case CheckImage(reference, platform):
            ports.images.check(reference, report, platform)
        case CollectImages(references, digests, age):
            ports.images.collect(references, digests, age)
        case CreateVolume(volume):
            ports.volumes.create(volume)
        case CreateContainer(id, container, revision, image, joint):
            ports.bundles.create(id, container, revision, image, joint)
        case MountContainer(id, _):
            ports.bundles.mount(id)
        case StartContainer(id, _, restarts, failures):
            ports.runtime.start(id, restarts, failures)
        case RunHooks(id, _, when, hooks, seconds):
            ports.runtime.run_hooks(id, when, hooks, seconds)
        case StopContainer(id, _, signal):
            ports.runtime.stop(id, signal)
        case DrainContainer(id, _, successor):
            ports.runtime.drain(id, successor)
        case KillContainer(id, _):
            ports.runtime.kill(id)
        case CleanContainer(id, _):
            ports.runtime.clean(id)
        case RemoveContainer(id, _):
            ports.bundles.remove(id)
        case RotateLog(id, _):
            ports.bundles.rotate_log(id)
        case KeepGood() | QuarantineRevision() | ForgetRevisions() | NoteRemovals():
            perform_on_revisions(step, ports)
        case KeepJob() | KeepEnd() | ForgetRuns():
            perform_on_runs(step, ports)
        case _:
            perform_on_network(step, ports)


def perform_on_revisions(step: RevisionStep, ports: Ports) -> None:
    """One call of the port Revisions."""
    match step:
        case KeepGood(id, name, revision):
            ports.revisions.keep(id, name, revision)
        case QuarantineRevision(id, quarantine):
            ports.revisions.quarantine(id, quarantine)
        case ForgetRevisions(good, quarantined):
            ports.revisions.forget(good, quarantined)
        case NoteRemovals(removals):
            ports.revisions.note_removals(removals)
        case _:
            assert_never(step)


def perform_on_runs(step: RunStep, ports: Ports) -> None:
    """One call of the port Runs."""
    match step:
        case KeepJob(job):
            ports.runs.keep_job(job)
        case KeepEnd(ended):
            ports.runs.keep_end(ended)
        case ForgetRuns(jobs, ended):
            ports.runs.forget(jobs, ended)
        case _:
            assert_never(step)


def perform_on_network(step: NetworkStep, ports: Ports) -> None:  # noqa: C901 - as above
    """One call of the ports Networks, Firewall and Names."""
    match step:
        case CreateNetwork(network, bridge, subnet, subnet6, extra):
            ports.networks.create(network, bridge, (subnet, subnet6), extra)
        case RemoveNetwork(name, bridge):
            ports.networks.remove(name, bridge)
        case ConnectContainer(id, _, endpoints):
            ports.networks.connect(id, endpoints)
        case DisconnectContainer(id, _):
            ports.networks.disconnect(id)
        case ApplyRuleset(text, _):
            ports.firewall.apply(text)
        case RemoveRuleset():
            ports.firewall.remove()
        case GuardRoutes(subnets):
            ports.firewall.guard(subnets)
        case ServeNames(resolver):
            ports.names.serve(resolver)
        case StopNames(name):
            ports.names.stop(name)
        case WriteNames(network, hosts):
            ports.names.write(network, hosts)
        case ResolveNames(names):
            ports.names.resolve(names)
        case _:
            assert_never(step)
