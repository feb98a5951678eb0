"""Does a task: one port call per step, in order. Decides nothing.

Runs in worker threads; `daemon.loop` hands over tasks and is told how each ended. The first step that fails ends
its task, and the next look sees what is there.
"""

from __future__ import annotations

import logging
from typing import assert_never

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
    KillContainer,
    MountContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveRuleset,
    RotateLog,
    StartContainer,
    Step,
    StopContainer,
    Task,
)
from reconciler.errors import ReconcilerError
from reconciler.ports import Ports, Report

log = logging.getLogger(__name__)


def execute(task: Task, ports: Ports, report: Report) -> str:
    """Run the steps of `task`; returns "" or the sentence that says why it could not be done."""
    for step in task.steps:
        try:
            perform(step, ports, report)
        except ReconcilerError as error:
            log.warning("%s: %s", task.key, error)
            return str(error)
        except Exception as error:
            # One resource's bug must not stop the others; the traceback is for whoever mends it.
            log.warning("%s: cannot %s: unexpected %r", task.key, step, error, exc_info=log.isEnabledFor(logging.DEBUG))
            return f"cannot {step}: unexpected {error!r}; this is a bug in reconciler"
        log.info("%s: %s (%s)", task.key, step, task.cause)
    return ""


def perform(step: Step, ports: Ports, report: Report) -> None:  # noqa: C901, PLR0912 - one flat match, a line a step
    """One port call."""
    match step:
        case PullImage(reference, platform):
            ports.images.pull(reference, report, platform)
        case CheckImage(reference, platform):
            ports.images.check(reference, report, platform)
        case CollectImages(references, digests, age):
            ports.images.collect(references, digests, age)
        case CreateNetwork(network, bridge, subnet):
            ports.networks.create(network, bridge, subnet)
        case RemoveNetwork(name, bridge):
            ports.networks.remove(name, bridge)
        case CreateVolume(volume):
            ports.volumes.create(volume)
        case CreateContainer(id, container, revision, image, address, _):
            ports.bundles.create(id, container, revision, image, address)
        case MountContainer(id, _):
            ports.bundles.mount(id)
        case ConnectContainer(id, _, bridge, address, subnet):
            ports.networks.connect(id, bridge, address, subnet)
        case StartContainer(id, _, restarts, failures):
            ports.runtime.start(id, restarts, failures)
        case StopContainer(id, _, signal):
            ports.runtime.stop(id, signal)
        case KillContainer(id, _):
            ports.runtime.kill(id)
        case CleanContainer(id, _):
            ports.runtime.clean(id)
        case DisconnectContainer(id, _):
            ports.networks.disconnect(id)
        case RemoveContainer(id, _):
            ports.bundles.remove(id)
        case RotateLog(id, _):
            ports.bundles.rotate_log(id)
        case ApplyRuleset(text, _):
            ports.firewall.apply(text)
        case RemoveRuleset():
            ports.firewall.remove()
        case _:
            assert_never(step)
