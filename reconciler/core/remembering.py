"""The steps that only write something down: who drains, which revision was good, which failed, what has run.

See `steps`.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.jobs import Ended, Job
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Quarantine


@dataclass(frozen=True, slots=True)
class DrainContainer:
    """Note that `successor`, an id, serves in its place from now on."""

    id: str
    name: str
    successor: str

    def __str__(self) -> str:
        return f"drain container {self.name} {self.id[:12]}, replaced by {self.successor[:12]}"


@dataclass(frozen=True, slots=True)
class KeepGood:
    """Keep what this container was made from as the last good revision of its name."""

    id: str
    name: str
    revision: str

    def __str__(self) -> str:
        return f"keep revision {self.revision[:12]} of {self.name} as the last good one"


@dataclass(frozen=True, slots=True)
class QuarantineRevision:
    """Remember that a revision failed, with the last lines of the container `id`, "" when none could be made."""

    id: str
    quarantine: Quarantine

    def __str__(self) -> str:
        return f"quarantine revision {self.quarantine.revision[:12]} of {self.quarantine.name}"


@dataclass(frozen=True, slots=True)
class ForgetRevisions:
    """Forget the last good revisions of these names, and that these revisions failed."""

    good: tuple[str, ...]
    quarantined: tuple[str, ...]

    def __str__(self) -> str:
        failed = (revision[:12] for revision in self.quarantined)
        return f"forget {', '.join((*(f'the last good {name}' for name in self.good), *failed))}"


@dataclass(frozen=True, slots=True)
class NoteRemovals:
    """Remember which apps were there and which of them left, or forget that."""

    removals: Removals | None

    def __str__(self) -> str:
        if self.removals is None:
            return "forget which apps left"
        left = f", and that {', '.join(self.removals.gone)} may go" if self.removals.gone else ""
        return f"note that there are {len(self.removals.apps)} apps{left}"


@dataclass(frozen=True, slots=True)
class KeepJob:
    """Remember this of a job and its runs, in place of what was remembered."""

    job: Job

    def __str__(self) -> str:
        return f"note the runs of {self.job.name}"


@dataclass(frozen=True, slots=True)
class KeepEnd:
    """Remember that a one-shot container has had its run."""

    ended: Ended

    def __str__(self) -> str:
        return f"remember that {self.ended.name} has had its run"


@dataclass(frozen=True, slots=True)
class ForgetRuns:
    """Forget the runs of these jobs, and that these one-shot containers had theirs."""

    jobs: tuple[str, ...]
    ended: tuple[str, ...]

    def __str__(self) -> str:
        return f"forget the runs of {', '.join((*self.jobs, *self.ended))}"


RunStep = KeepJob | KeepEnd | ForgetRuns
RevisionStep = KeepGood | QuarantineRevision | ForgetRevisions | NoteRemovals
