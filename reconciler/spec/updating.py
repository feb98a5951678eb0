"""`deploy`: how many containers a service has, how large they are, and how they are replaced. Used by `compose`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from reconciler.core import updates
from reconciler.spec import forms, refusals
from reconciler.spec.model import Model
from reconciler.spec.types import Duration, Memory, Processors, Replicas, Share, Whole


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


class Limits(Model):
    """The most a container may use."""

    refused: ClassVar[refusals.Reasons] = refusals.LIMITS
    cpus: Processors | None = None
    memory: Memory | None = None
    pids: Whole | None = None


class Resources(Model):
    """Resources of a service."""

    refused: ClassVar[refusals.Reasons] = refusals.RESOURCES
    limits: Annotated[Limits, BeforeValidator(forms.empty)] = Limits()


class Deploy(Model):
    """How many containers, and how large."""

    refused: ClassVar[refusals.Reasons] = refusals.DEPLOY
    replicas: Replicas = 1
    resources: Annotated[Resources, BeforeValidator(forms.empty)] = Resources()
    update_config: Annotated[Update, BeforeValidator(forms.empty)] = Update()
    rollback_config: Annotated[Rollback, BeforeValidator(forms.empty)] = Rollback()
