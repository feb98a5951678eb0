"""Sizes and durations as Docker reads them. Text in, number out; ValueError says what would be right.

| written                                | bytes                               |
|----------------------------------------|-------------------------------------|
| `1048576`, `"1048576"`, `"1048576b"`   | as written                          |
| `512k`, `512kb`, `512kib` (any case)   | times 1024; m, g, t and p likewise  |
| `1.5g`                                 | fractions are cut to whole bytes    |

Source: go-units `RAMInBytes`, and the chapters "Specifying byte values" and "Specifying durations" of the Compose
Specification.
"""

from __future__ import annotations

import re
from typing import Final

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_POWER: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(us|ms|s|m|h|d|w)", re.ASCII)
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def size(text: str) -> int:
    """`text` in bytes."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"'{text}' is not a size; write bytes, or a number with k, m or g, as in 512m")
    digits, unit = found[1], found[2].lower()
    value = float(digits) if "." in digits else int(digits)
    if value * 1024 ** _POWER[unit] >= 2**63:
        raise ValueError(f"'{text}' is too large")
    return int(value * 1024 ** _POWER[unit])


def duration(text: str) -> float:
    """`text` in seconds."""
    parts = _PART.findall(text)
    if not parts or "".join(value + unit for value, unit in parts) != text:
        raise ValueError(f"'{text}' is not a duration; write a number with us, ms, s, m or h, as in 1m30s")
    return float(sum(float(value) * _SECONDS[unit] for value, unit in parts))
