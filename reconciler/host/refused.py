"""Which revisions cannot be made or started here, whoever tries again, and why: one small file for each, in memory.

`bundles` and `runtime` note it when they find out, and a start that goes well takes it back. `observe` reads it, and
`core.rollout` goes back to what was good. A reboot forgets it: then it is tried once more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from reconciler.host.files import replace
from reconciler.settings import Settings

FOLDER = "refused"
LONGEST = 1000  # characters of a reason; it may quote what a stranger's image says


def note(settings: Settings, revision: str, why: str) -> None:
    """Remember it; where that fails it is tried again, as everything is."""
    with contextlib.suppress(OSError):
        path = _path(settings, revision)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(path, why[:LONGEST])


def take_back(settings: Settings, revision: str) -> None:
    """It can be started after all, or is another one's business now."""
    with contextlib.suppress(OSError):
        _path(settings, revision).unlink(missing_ok=True)


def read(settings: Settings) -> Mapping[str, str]:
    """Why, by revision."""
    found: dict[str, str] = {}
    for path in sorted((settings.run / FOLDER).glob("[!.]*")):
        with contextlib.suppress(OSError, ValueError):
            found[path.name] = path.read_text()
    return found


def _path(settings: Settings, revision: str) -> Path:
    return settings.run / FOLDER / revision
