"""Bytes in words. Pure; used wherever a person reads how large something is."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes as people read them: `35.2 MB`, in steps of a thousand as Docker prints them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
