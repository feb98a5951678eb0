"""What names outside mean, asked of the host's own resolvers, and what they meant lately.

A service that may connect to a name (`x-egress`) is let through to its addresses. Many names mean other addresses each
time, so those of the last minutes count too; and when nobody answers, the last known ones stay. Kept in a file, so that
a daemon that starts again closes nothing. Called by `host.names`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue

from reconciler.errors import HostError
from reconciler.host.files import replace

Resolved = Mapping[str, tuple[tuple[str, ...], float]]
"""By name its addresses, and when it was last asked for with success."""

REMEMBERED = 600.0  # seconds for which an address counts after it was last given
FORGOTTEN = 30 * 86400.0  # seconds after which nobody asks for a name any more, or its servers are dead for good
_PATIENCE = 5.0  # seconds for all names together
_THREADS = 8


def addresses_of(name: str) -> tuple[str, ...]:
    """Ask the host (getaddrinfo(3)); () when there is no such name. Raises OSError when nobody can tell."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return ()
        raise
    return tuple(sorted({str(entry[4][0]).partition("%")[0] for entry in found}))


class Lookup:
    """Asks, and remembers. `known` may be read while another thread asks."""

    def __init__(
        self,
        path: Path,
        ask: Callable[[str], tuple[str, ...]] = addresses_of,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._known = _read(path)

    def resolve(self, names: Iterable[str], patience: float = _PATIENCE) -> None:
        """Ask for `names`; others stay as they are. Raises HostError when nobody answered for one of them."""
        wanted = sorted(set(names))
        answers = self._answers(wanted, patience)
        now = self._clock()
        with self._lock:
            kept = {name: known for name, known in self._known.items() if now - known[1] < FORGOTTEN}
            for name, found in answers.items():
                lately = {a: at for a, at in kept.get(name, ({}, 0.0))[0].items() if now - at < REMEMBERED}
                kept[name] = ({**(lately if found else {}), **dict.fromkeys(found, now)}, now)
            self._known = kept
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace(self._path, json.dumps(kept))
        if missing := [name for name in wanted if name not in answers]:
            raise HostError(
                f"cannot resolve {', '.join(missing[:3])}: the host's name servers do not answer; "
                "what they last answered stays in force"
            )

    def known(self) -> Resolved:
        """What is in force."""
        with self._lock:
            return {name: (tuple(sorted(found)), at) for name, (found, at) in self._known.items()}

    def _answers(self, names: list[str], patience: float) -> dict[str, tuple[str, ...]]:
        """Those that came in time. A thread that still waits for the C library is left to itself."""
        todo: SimpleQueue[str] = SimpleQueue()
        done: SimpleQueue[tuple[str, tuple[str, ...] | None]] = SimpleQueue()
        for name in names:
            todo.put(name)
        for _ in range(min(_THREADS, len(names))):
            threading.Thread(target=_work, args=(self._ask, todo, done), name="lookup", daemon=True).start()
        deadline = time.monotonic() + patience
        answers: dict[str, tuple[str, ...]] = {}
        for _ in names:
            try:
                name, found = done.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
            if found is not None:
                answers[name] = found
        return answers


def _work(
    ask: Callable[[str], tuple[str, ...]],
    todo: SimpleQueue[str],
    done: SimpleQueue[tuple[str, tuple[str, ...] | None]],
) -> None:
    while True:
        try:
            name = todo.get_nowait()
        except Empty:
            return
        try:
            done.put((name, ask(name)))
        except (OSError, UnicodeError):  # a label that is too long is refused before anybody is asked
            done.put((name, None))


def _read(path: Path) -> dict[str, tuple[dict[str, float], float]]:
    try:
        given = json.loads(path.read_text())
        return {
            str(name): ({str(address): float(seen) for address, seen in found.items()}, float(at))
            for name, (found, at) in given.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
