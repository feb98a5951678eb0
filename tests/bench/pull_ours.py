"""Our side of the measure of pulls: the daemon's image store in a process that has long been started.

Says a line when it is there; then pulls what each line of its input names, and answers with the bytes by which the
peak of its memory has grown.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings


def serve() -> None:
    """Until the input ends."""
    store = ImageStore(Settings(state=Path(sys.argv[1])))
    store.recover()
    with suppress(HostError):
        store.pull("127.0.0.1:1/warm:1", lambda _: None)  # a daemon has long loaded what it asks with
    print("ready", flush=True)
    for line in sys.stdin:
        before = peak()
        store.pull(line.strip(), lambda _: None)
        print(peak() - before, flush=True)


def peak() -> int:
    """The most bytes of memory that this process has had (VmHWM of proc(5))."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
