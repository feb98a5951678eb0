"""The bundled seccomp profile, as the text that goes into a bundle.

`default.json` has the effect of Docker's own default and its format: an allow-list, with what a capability opens under
that capability's name. It closes AF_ALG and AF_VSOCK, and makes clone3 fail in the way that lets libraries fall back.
"""

from __future__ import annotations

import json
import platform
from functools import lru_cache
from importlib.resources import files
from typing import cast

from reconciler.core.seccomp import Profile, resolve


@lru_cache(maxsize=1)
def profile() -> Profile:
    """The bundled profile."""
    return cast("Profile", json.loads(files(__package__).joinpath("default.json").read_text()))


@lru_cache(maxsize=64)
def rendered(capabilities: tuple[str, ...]) -> str:
    """`linux.seccomp` as JSON for this machine; made once for each set of capabilities."""
    return json.dumps(resolve(profile(), platform.machine(), capabilities), separators=(",", ":"))
