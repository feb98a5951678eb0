"""Which OCI runtime this is, as it says itself. Asked once, when the daemon starts; `doctor` knows what is unsafe."""

from __future__ import annotations

import re

from reconciler.errors import HostError
from reconciler.host.run import run


def runtime_version(program: str) -> str:
    """The version of `program`, "" when it cannot be asked: a missing runtime is told when something is to start."""
    try:
        return parse_version(run([program, "--version"], timeout=10.0))
    except HostError:
        return ""


def parse_version(text: str) -> str:
    """The version in `runc version 1.1.5+ds1` or `crun version 1.8.1`, "" when there is none."""
    found = re.search(r"^\S+ version (\S+)$", text, re.MULTILINE)
    return found[1] if found else ""
