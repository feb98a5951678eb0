"""Starting and stopping as Compose declares it: what a service depends on, and what is run
in a container beside its process. Values only; `order` and `lifecycle` decide with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reconciler.core.networking import Pairs

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Dependency:
    """Compose `depends_on`, one entry: a service of the same app, and what must be true of it."""

    service: str
    condition: Condition = "service_started"
    required: bool = True  # False: also without it when it is not there
    restart: bool = False  # started again when it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command that is run in the container. `user` and `working_dir` "" are those of its process."""

    command: tuple[str, ...]
    user: str = ""
    working_dir: str = ""
    environment: Pairs = ()  # added to that of its process


When = Literal["post_start", "pre_stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Compose `post_start` and `pre_stop`, each in its order."""

    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
