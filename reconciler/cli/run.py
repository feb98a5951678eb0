"""`reconciler run`: the daemon in the foreground, or with `--once` until the host is as the specs say.

Sets up logging and signals, then hands over to `daemon.loop`; the only things printed are what the daemon does.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
from types import FrameType

from reconciler.cli import codes
from reconciler.cli.progress import Progressing
from reconciler.cli.screen import start_logging
from reconciler.daemon import wire
from reconciler.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Converge, and keep converged unless `--once`."""
    progressing = Progressing(start_logging())
    with wire.only_one(settings), progressing.drawing():
        daemon = wire.build(settings, wire.specs(settings), progressing.show)
        _stop_on_signals(daemon)
        gc.collect()
        gc.freeze()  # what lives for ever is not looked at again by each collection
        daemon.start()
        try:
            daemon.loop.run_until_settled() if arguments.once else daemon.loop.run()
        finally:
            daemon.stop()
        if not arguments.once:
            log.info("the daemon ends; containers keep running")
            return codes.OK
        for wait in daemon.loop.plan.waits:
            print(wait)
        return codes.OK if daemon.loop.plan.converged and not daemon.loop.busy else codes.DIFFERENT


def _stop_on_signals(daemon: wire.Daemon) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        daemon.loop.stopping = True
        daemon.queue.wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
