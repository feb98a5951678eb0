"""The port Firewall of the one host in memory, see `fakes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fakes import FakeHost


class FakeFirewall:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def apply(self, text: str) -> None:
        self.host.call("apply", lambda: setattr(self.host, "table", text))

    def remove(self) -> None:
        self.host.call("remove table", lambda: setattr(self.host, "table", ""))

    def guard(self, subnets: tuple[str, ...]) -> None:
        self.host.call("guard", lambda: setattr(self.host, "guarded", subnets))
