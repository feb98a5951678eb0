"""One start and one pull, as a process that can be killed: `python -m tests.host.images.pull_once STATE REFERENCE`."""

from __future__ import annotations

import sys
from pathlib import Path

from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings

NOON = 1_000_000.0  # seconds; records tell when they were made, and are compared

if __name__ == "__main__":
    store = ImageStore(Settings(state=Path(sys.argv[1])), sleep=lambda _: None, clock=lambda: NOON)
    store.recover()
    store.pull(sys.argv[2], lambda _: None)
