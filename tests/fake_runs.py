"""The port Runs of the one host in memory, see `fakes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.jobs import Ended, Job
from reconciler.errors import HostError

if TYPE_CHECKING:
    from tests.fakes import FakeHost


class FakeRuns:
    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.jobs: dict[str, Job] = {}
        self.ended: dict[str, Ended] = {}
        self.full = False  # the disk

    def keep_job(self, job: Job) -> None:
        if self.full:
            raise HostError(f"cannot remember the runs of {job.name}: No space left on device")
        self.host.call(f"note {job.name}", lambda: self.jobs.update({job.name: job}))

    def keep_end(self, ended: Ended) -> None:
        self.host.call(f"note {ended.name}", lambda: self.ended.update({ended.name: ended}))

    def forget(self, jobs: tuple[str, ...], ended: tuple[str, ...]) -> None:
        def forget() -> None:
            for name in jobs:
                self.jobs.pop(name, None)
            for name in ended:
                self.ended.pop(name, None)

        self.host.call("forget runs", forget)
