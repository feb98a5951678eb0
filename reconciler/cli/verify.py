"""`reconciler verify`: reads the image store again and says what a disk did to it. Stops and changes no container.

What is damaged is set aside by the store; a daemon that runs notices and pulls it again, at the next look at
everything at the latest.
"""

from __future__ import annotations

import argparse
import json
import os

from reconciler.cli import codes
from reconciler.daemon import wire
from reconciler.errors import HostError
from reconciler.settings import Settings


def verify(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print what is damaged, a line each, and set it aside."""
    if os.geteuid() != 0:
        raise HostError("cannot read the image store: that needs root")
    store = wire.adapters(settings).images
    damaged = store.verify() if settings.images.is_dir() else {}
    if damaged:
        store.set_aside(damaged)
    if arguments.json:
        print(json.dumps({name: list(why) for name, why in damaged.items()}, indent=2))
    else:
        for name, why in damaged.items():
            print(f"{name}: {'; '.join(why)}")
        print("the image store is whole" if not damaged else f"{len(damaged)} damaged, set aside to be pulled again")
    return codes.FAILURE if damaged else codes.OK
