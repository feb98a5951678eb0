"""How a service is replaced by its next revision, and goes back, as a user may write it. Used by `compose`."""

from __future__ import annotations

from typing import Literal

from reconciler.core import updates
from reconciler.spec.model import Model
from reconciler.spec.types import Duration, Replicas, Share


class UpdateConfig(Model):
    """One replica after the other."""

    order: Literal["start-first", "stop-first"] | None = None
    """Without it, start-first for a service that publishes ports and writes to no volume that only one may use."""
    parallelism: Replicas = 1
    """How many replicas at the same time; 0 is all."""
    delay: Duration = 0.0
    """Between two replicas."""
    monitor: Duration = 5.0
    """How long a new instance must stay well before the old one goes."""
    max_failure_ratio: Share = 0.0

    def value(self) -> updates.UpdateConfig:
        """As the decisions see it."""
        return updates.UpdateConfig(**{**self.model_dump(), "order": self.order or ""})


class Update(UpdateConfig):
    """From one revision to the next."""

    failure_action: Literal["pause", "continue", "rollback"] = "rollback"
    """What happens to the other replicas when more than `max_failure_ratio` of them fail."""


class Rollback(UpdateConfig):
    """From a revision that failed to the last good one."""

    failure_action: Literal["pause", "continue"] = "pause"
