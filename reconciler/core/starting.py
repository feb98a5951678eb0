"""Starting and stopping as Compose declares it: what a service depends on. Values only; `order` decides with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Dependency:
    """Compose `depends_on`, one entry: a service of the same app, and what must be true of it."""

    service: str
    condition: Condition = "service_started"
    required: bool = True  # False: also without it when it is not there
    restart: bool = False  # started again when it was
