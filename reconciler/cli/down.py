"""`reconciler down`: takes all of it off the host, by converging toward nothing. Only while no daemon runs.

The same loop does it with an empty set of specs. Volumes and images are data, and stay.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from reconciler.cli import codes
from reconciler.cli.progress import Progressing
from reconciler.cli.screen import start_logging
from reconciler.daemon import wire
from reconciler.daemon.loop import Specs
from reconciler.errors import HostError
from reconciler.settings import Settings


def down(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Stop and remove every container, network and rule of this instance."""
    if os.geteuid() != 0:
        raise HostError("cannot take anything off the host: that needs root")
    progressing = Progressing(start_logging())
    with wire.only_one(settings):
        daemon = wire.build(replace(settings, max_removal=None), _nothing, progressing.show)
        daemon.loop.run_until_settled()
        left = daemon.loop.plan
        if not left.converged:
            print(left)
            return codes.FAILURE
        wire.sweep(settings)
    print(f"nothing of {settings.instance} is left on this host; images and volumes stay in {settings.state}")
    return codes.OK


def _nothing() -> Specs:
    return Specs()
