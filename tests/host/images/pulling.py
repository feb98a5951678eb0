"""A pull as the tests see it: what came, or the one line that refused it, and how long it would have slept."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings


class Pull:
    """A store that notes how long it would have slept."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.slept: list[float] = []
        self.store = ImageStore(Settings(state=state, registry_auth=state / "auth.json"), sleep=self.slept.append)
        self.store.recover()

    def __call__(self, reference: str) -> str:
        """The manifest's digest."""
        self.store.pull(reference, lambda _: None)
        return self.store.seen()[reference].digest

    def refusal(self, reference: str) -> str:
        with pytest.raises(HostError) as caught:
            self.store.pull(reference, lambda _: None)
        text = str(caught.value)
        assert text.startswith("cannot ")
        assert "\n" not in text
        assert not self.store.seen()
        return text
