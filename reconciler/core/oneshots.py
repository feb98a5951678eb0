"""One-shot services: what has had its run does not run again, also after a reboot, before its revision changes. Pure.

That is `restart: "no"`, and `on-failure` once it ended well. What is noted here is read back into what is observed, so
that everything else sees a container that has ended. What serves or prepares somebody is no such service, and an end by
a signal is not noted: that is how whoever turns the host off ends what runs. Called by `plan` and by the observer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.core.instances import Replica
from reconciler.core.jobs import Ended, Job
from reconciler.core.lifecycle import finished
from reconciler.core.model import Dead, Exited, SeenContainer
from reconciler.core.remembering import ForgetRuns, KeepEnd
from reconciler.core.scene import Scene
from reconciler.core.steps import Task

SIGNALS = range(129, 193)  # 128 + n for signal n


def recalled(containers: Mapping[str, SeenContainer], ended: Mapping[str, Ended]) -> dict[str, SeenContainer]:
    """`containers` by id; one that nothing is known to have run of since the boot has ended, when that was noted."""
    return {id: _recalled(seen, ended.get(seen.name)) for id, seen in containers.items()}


def _recalled(seen: SeenContainer, ended: Ended | None) -> SeenContainer:
    if ended is None or seen.revision != ended.revision or not isinstance(seen.state, Dead):
        return seen
    return replace(seen, state=Exited(code=ended.code, at=ended.at, since=ended.since))


def noted(scene: Scene, found: Replica) -> Iterator[Task]:
    """Notes that the instance in force has had its run."""
    seen = found.current
    if seen is None or not isinstance(seen.state, Exited) or seen.state.code in SIGNALS:
        return
    if found.wanted.ports or found.wanted.healthcheck or found.wanted.prepares:
        return
    known = scene.observed.ended.get(seen.name)
    if finished(seen, found.wanted.restart) and (known is None or known.revision != seen.revision):
        ended = Ended(
            name=seen.name,
            app=seen.app,
            spec=seen.spec,
            revision=seen.revision,
            code=seen.state.code,
            at=seen.state.at,
            since=seen.state.since,
        )
        yield Task(f"ended:{seen.name}", f"it exited with code {seen.state.code}", (KeepEnd(ended),))


def forgotten(scene: Scene, now: float) -> Iterator[Task]:
    """What is remembered of what nobody wants any more; of what is held nothing is forgotten."""
    jobs = [job for job in scene.observed.jobs.values() if _unwanted(scene, job, now, schedule=True)]
    ended = [entry for entry in scene.observed.ended.values() if _unwanted(scene, entry, now, schedule=False)]
    if jobs or ended:
        step = ForgetRuns(tuple(sorted(job.name for job in jobs)), tuple(sorted(entry.name for entry in ended)))
        yield Task("runs", "nothing wants them", (step,))


def _unwanted(scene: Scene, entry: Job | Ended, now: float, *, schedule: bool) -> bool:
    """Whether no spec declares it, or declares it as the other kind."""
    wanted = scene.desired.containers.get(entry.name)
    if wanted is None:
        return entry.name not in scene.instances and not scene.held(entry.app, entry.spec, now)
    return (wanted.schedule is not None) != schedule
