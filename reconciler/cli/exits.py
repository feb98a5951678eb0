"""Exit codes, and what they mean."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
INVALID_SPECS = 3
NOT_CONVERGED = 4  # also: `plan` found differences
UNREACHABLE = 5  # no daemon answers
