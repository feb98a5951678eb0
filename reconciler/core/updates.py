"""How a service changes from one revision to the next: what its spec says of that, and what is remembered of it.

Values only. What follows from them now is decided in `rollout`; `host.revisions` keeps the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # they are made of this module's values themselves
    from reconciler.core.model import Container, SeenImage


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig:
    """Compose `deploy.update_config` and `rollback_config`. Times in seconds; `parallelism` 0 is all at once.

    `order` "" is automatic: start-first for what publishes ports and writes to no volume of its own, else stop-first.
    `failure_action` is rollback when the spec does not say, where Compose has pause: an update that fails leaves
    nothing half done. `max_failure_ratio` of the replicas may fail before it applies to all.
    """

    order: Literal["", "start-first", "stop-first"] = ""
    parallelism: int = 1
    delay: float = 0.0
    monitor: float = 5.0
    failure_action: Literal["pause", "continue", "rollback"] = "rollback"
    max_failure_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """Both directions. `drain`: seconds that established connections have before an old instance is stopped."""

    config: UpdateConfig = field(default_factory=UpdateConfig)
    back: UpdateConfig = field(default_factory=UpdateConfig)
    drain: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """An instance gets no new connections since `since`, because `successor`, an id, serves in its place."""

    successor: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """The last revision of a replica that passed its gate, whole: it can be made again from this and the image."""

    revision: str
    container: Container
    image: SeenImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A revision of a replica that did not pass its gate. `output` are the last lines of what it wrote."""

    revision: str
    name: str
    app: str
    service: str
    spec: str
    fault: str  # was never healthy, fell ill
    ended: str  # exit code 1
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        last = f': "{self.output[-1]}"' if self.output else ""
        which = f"revision {self.revision[:12]} of {self.app}/{self.service}"
        return f"quarantined: {which} {self.fault} ({self.ended}{last}); change the spec or the image to try again"
