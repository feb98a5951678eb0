"""How services start and stop, as a user may write it: health, dependencies, hooks. Used by `compose`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from reconciler.spec import forms, refusals
from reconciler.spec.model import Model
from reconciler.spec.types import (
    AbsolutePath,
    Command,
    HealthTest,
    Pause,
    Program,
    Switch,
    Text,
    Tries,
    User,
    Variables,
)


class Healthcheck(Model):
    """How a container is asked whether it is well. What is left out, or 0, is the image's own, else Docker's."""

    test: HealthTest | None = None
    """A text for the shell, or a list that begins with NONE, CMD, CMD-SHELL, HTTP (an address) or TCP (a port)."""
    interval: Pause = 0.0
    timeout: Pause = 0.0
    retries: Tries = 0
    start_period: Pause = 0.0
    start_interval: Pause = 0.0
    disable: Switch = False

    @model_validator(mode="after")
    def _only_one(self) -> Healthcheck:
        if self.disable and self.test not in (None, ("NONE",)):
            raise forms.FormError("'disable' and a 'test' contradict each other", "disable")
        return self


class Needed(Model):
    """What must be true of a service before this one starts."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]
    required: Switch = True
    """Without it: also start when that service is not there, or will not become so."""
    restart: Switch = False
    """Start again after that service was replaced."""


class Step(Model):
    """A command that is run to its end in a container of its own before the service starts."""

    refused: ClassVar[refusals.Reasons] = refusals.HOOK
    image: Text = ""
    """Without it, the service's own."""
    command: Command | None = None
    """Without it, the image's own."""
    user: User = ""
    working_dir: AbsolutePath = ""
    environment: Variables = {}
    per_replica: Switch = False
    """Once for each replica, and not for the service as a whole."""


class Hook(Model):
    """A command that is run in the container, beside its process."""

    refused: ClassVar[refusals.Reasons] = refusals.HOOK
    command: Program
    user: User = ""
    working_dir: AbsolutePath = ""
    environment: Variables = {}
