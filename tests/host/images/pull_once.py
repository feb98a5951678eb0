"""One start and one pull, as a process that can be killed: `python -m tests.host.images.pull_once STATE REFERENCE`.

A third word says what is left out, so that a test of power cuts is seen to notice: `file`, `folder` or `layer`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reconciler.host.images import disk
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings

NOON = 1_000_000.0  # seconds; records tell when they were made, and are compared


def leave_out(what: str) -> None:
    """Do one of the syncs of the store no longer."""
    if what == "file":
        disk.write_new = lambda path, content, **_: path.write_bytes(content)
    elif what == "folder":
        disk.sync = lambda folder: None
    elif what == "layer":
        disk.syncfs = lambda folder: None


if __name__ == "__main__":
    leave_out(sys.argv[3] if len(sys.argv) > 3 else "")
    store = ImageStore(Settings(state=Path(sys.argv[1])), sleep=lambda _: None, clock=lambda: NOON)
    store.recover()
    store.pull(sys.argv[2], lambda _: None)
