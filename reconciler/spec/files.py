"""The files beside a spec: `.env` and what `env_file` names. Reads them by a function that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from posixpath import dirname, join

from reconciler.spec.tree import decode


@dataclass(frozen=True, slots=True)
class Files:
    """`name` is the spec's path as errors show it, `folder` its absolute folder. `asked` is filled by reading."""

    name: str
    folder: str
    read: Callable[[str], bytes]
    asked: dict[str, None] = field(default_factory=dict)

    def text(self, path: str) -> str:
        """The text of a file beside the spec. Raises OSError and ValueError from reading, SpecError from decoding."""
        self.asked[path] = None
        return decode(self.shown(path), self.read(path))

    def why(self, error: OSError | ValueError) -> str:
        """Why reading failed, for a person."""
        return (error.strerror if isinstance(error, OSError) else None) or str(error)

    def shown(self, path: str) -> str:
        """`path` as errors show it."""
        return join(dirname(self.name), path)
