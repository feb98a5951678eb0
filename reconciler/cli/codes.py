"""What the exit status says. Scripts depend on these numbers; they never change."""

from __future__ import annotations

OK = 0
FAILURE = 1
USAGE = 2
INVALID = 3  # a spec cannot be used
DIFFERENT = 4  # not converged, or there is something to do
UNREACHABLE = 5  # no daemon answers
