"""Known holes of runc, as data, and which of them a version has. Facts from RELIABILITY §2.4 and runc's advisories.

A fix reaches several branches at once; `fixed` has the first good release of each. Distributions also mend an old
version without changing its number; what is known of that stands in `_BACKPORTS`, and the rest counts as open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One hole: its name, the first good release of each branch, and what an attacker gets."""

    name: str
    fixed: tuple[Version, ...]  # oldest branch first
    risk: str


RUNC = (
    Advisory("CVE-2024-21626", ((1, 1, 12),), "a container gets at the host's files through a leaked descriptor"),
    Advisory("CVE-2024-45310", ((1, 1, 14), (1, 2, 0)), "empty files are made on the host"),
    Advisory("CVE-2025-31133", ((1, 2, 8), (1, 3, 3), (1, 4, 0)), "masked paths become writable"),
    Advisory("CVE-2025-52565", ((1, 2, 8), (1, 3, 3), (1, 4, 0)), "a mount lands on /dev/console"),
    Advisory("CVE-2025-52881", ((1, 2, 8), (1, 3, 3), (1, 4, 0)), "writes to /proc are redirected"),
    Advisory("CVE-2026-41579", ((1, 3, 6), (1, 4, 3), (1, 5, 0)), "an image whose /dev is a link writes to the host"),
)

# what `runc --version` prints as the commit -> holes that this build has mended all the same
_BACKPORTS = ((re.compile(r"1\.1\.5\+ds1-1\+deb12u\d+"), frozenset({"CVE-2024-21626"})),)


def parse_version(text: str) -> Version | None:
    """The first `x.y.z` in `text`."""
    match = re.search(r"(?<![\d.])(\d{1,4})\.(\d{1,4})\.(\d{1,4})", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def runc_holes(printed: str) -> tuple[Advisory, ...]:
    """The holes of the runc that prints `printed` for `--version`; none when it prints no version."""
    version = parse_version(printed)
    if version is None:
        return ()
    mended = {name for pattern, names in _BACKPORTS if pattern.search(printed) for name in names}
    return tuple(hole for hole in RUNC if hole.name not in mended and not _is_fixed(version, hole.fixed))


def _is_fixed(version: Version, fixed: tuple[Version, ...]) -> bool:
    same_branch = [first for first in fixed if first[:2] == version[:2]]
    return version >= same_branch[0] if same_branch else version > fixed[-1]
