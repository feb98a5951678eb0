"""The first start after a power cut: `python -m tests.host.images.after_power STATE REFERENCE`; tells in JSON.

What is visible, what of it is damaged, then what a pull makes of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.frame import describe
from tests.host.images.pull_once import NOON

if __name__ == "__main__":
    state, reference = Path(sys.argv[1]), sys.argv[2]
    store = ImageStore(Settings(state=state), sleep=lambda _: None, clock=lambda: NOON)
    store.recover()
    found: dict[str, object] = {
        "layers": sorted(path.name for path in (state / "images" / "layers").iterdir()),
        "litter": sorted(path.name for path in (state / "images" / "tmp").iterdir()),
        "damaged": {name: list(why) for name, why in store.verify().items()},
        "seen": sorted(store.seen()),
    }
    store.pull(reference, lambda _: None)
    found["stored"] = describe(state)
    print(json.dumps(found))
