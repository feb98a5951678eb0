"""The command line is tested against the real server of the socket."""

from tests.api.conftest import api, settings

__all__ = ["api", "settings"]
