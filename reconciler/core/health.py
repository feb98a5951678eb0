"""Health: what a container is asked, how answers become a state, and when the next question is due. Pure.

Compose's `healthcheck`, with two more tests that the daemon itself does without a process in the container. The probes
are done in `daemon.probes`; who may serve, and what waits for health, is decided in `plan` from the state alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "healthy", "unhealthy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTest:
    """`CMD` and `CMD-SHELL`: a program in the container; exit code 0 is well."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTest:
    """`["HTTP", "http://:8080/healthz"]`: any answer from 200 to 399 is well."""

    port: int
    path: str
    host: str = ""  # the Host header, "" for the container's address


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpTest:
    """`["TCP", "5432"]`: a connection is well."""

    port: int


Test = CommandTest | HttpTest | TcpTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How a container is asked; times in seconds, defaults are Docker's. `test` None: it is never asked (`NONE`)."""

    test: Test | None
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of one run. `since` is when `state` began, `failures` those in a row, `said` the last answer."""

    state: State = "starting"
    since: float = 0.0
    failures: int = 0
    said: str = ""
