"""What is known of the health of a run, as a small file in its folder; a reboot takes it with the run.

Written when the state changes, so that a healthy container stays in service while a new daemon has not asked yet.
`daemon.probes` has it written, `observe.containers` reads it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from reconciler.core.decode import decode
from reconciler.core.health import Health
from reconciler.host import runs
from reconciler.host.files import replace
from reconciler.settings import Settings

NAME = "health"


def write(settings: Settings, id: str, since: float, health: Health) -> bool:
    """Note `health` of the run of `id` that began at `since`; False when another has begun, or the disk is full."""
    folder = settings.run / runs.FOLDER
    with contextlib.suppress(OSError):
        newest = folder / f"{id}-{max(runs.of_container(folder, id), default=0)}"
        known = runs.read(newest)
        if known is not None and known.since == since:
            replace(newest / NAME, json.dumps(asdict(health)))
            return True
    return False


def read(folder: Path, since: float) -> Health:
    """What was noted in a run's folder; a run of which nothing is known is starting."""
    try:
        return decode(Health, json.loads((folder / NAME).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return Health(since=since)
