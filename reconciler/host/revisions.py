"""What is remembered of revisions and of apps that left, as small files below the state directory.

`good/<name>.json` is what a container can be made from again, `quarantine/<revision>.json` why a revision is not tried
again, `removals.json` who left lately. Written whole and durable, for they outlive containers and boots; a file that
cannot be read counts for nothing.
`<containers>/<id>/made-from.json`, which `host.bundles` writes, is where the first kind comes from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from reconciler.core.decode import decode
from reconciler.core.history import masked, secrets_of
from reconciler.core.model import Container, SeenImage
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Good, Quarantine
from reconciler.errors import HostError
from reconciler.host import files, logs, refused
from reconciler.settings import Settings

MADE_FROM = "made-from.json"
LINES = 20  # of a failed container's output that are kept
LONGEST = 200  # characters of each

T = TypeVar("T")


class RevisionFiles:
    """The port `Revisions`, and its reader."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._containers = settings.containers
        self._good = settings.state / "good"
        self._quarantine = settings.state / "quarantine"
        self._removals = settings.state / "removals.json"

    def keep(self, id: str, name: str, revision: str) -> None:
        """Keep what container `id` was made from as the last good revision of `name`; none when it is not known."""
        try:
            container, image = parse_made_from((self._containers / id / MADE_FROM).read_text())
        except (OSError, ValueError, KeyError, TypeError):
            self.forget((name,), ())
            return
        kept = Good(revision=revision, container=container, image=image)
        _write(self._good / f"{name}.json", json.dumps(asdict(kept)), f"keep the last good revision of {name}")

    def quarantine(self, id: str, quarantine: Quarantine) -> None:
        """Remember the failed revision, with the last lines of output of container `id`."""
        told = replace(quarantine, output=spoken(self._containers / id, LINES))
        path = self._quarantine / f"{quarantine.revision}.json"
        _write(path, json.dumps(asdict(told)), f"remember that revision {quarantine.revision[:12]} failed")

    def forget(self, good: tuple[str, ...], quarantined: tuple[str, ...]) -> None:
        """Forget the last good revisions of these names, and that these revisions failed or were refused."""
        for revision in quarantined:
            refused.take_back(self._settings, revision)
        gone = [self._good / f"{name}.json" for name in good]
        gone += [self._quarantine / f"{revision}.json" for revision in quarantined]
        for path in gone:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise HostError(f"cannot forget {path}: {error.strerror}") from error

    def note_removals(self, removals: Removals | None) -> None:
        """Remember which apps left, or forget it."""
        if removals is not None:
            _write(self._removals, json.dumps(asdict(removals)), "note which apps left")
            return
        try:
            self._removals.unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"cannot forget which apps left: {self._removals}: {error.strerror}") from error

    def removals(self) -> Removals | None:
        """Which apps left lately."""
        try:
            return decode(Removals, json.loads(self._removals.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def look(self) -> tuple[Mapping[str, Good], Mapping[str, Quarantine]]:
        """All of them: the good ones by the container's name, the failed ones by revision."""
        good = [entry for _, entry in _read(self._good, parse_good)]
        failed = [entry for _, entry in _read(self._quarantine, parse_quarantine)]
        return {entry.container.name: entry for entry in good}, {entry.revision: entry for entry in failed}


def made_from(container: Container, image: SeenImage) -> str:
    """What a container is made from, as text."""
    return json.dumps({"container": asdict(container), "image": asdict(image)})


def parse_made_from(text: str) -> tuple[Container, SeenImage]:
    """The inverse. Raises ValueError, KeyError or TypeError."""
    given = json.loads(text)
    return decode(Container, given["container"]), decode(SeenImage, given["image"])


def parse_good(text: str) -> Good:
    """What `keep` wrote. Raises ValueError, KeyError or TypeError."""
    container, image = parse_made_from(text)
    return Good(revision=decode(str, json.loads(text)["revision"]), container=container, image=image)


def parse_quarantine(text: str) -> Quarantine:
    """What `quarantine` wrote. Raises ValueError, KeyError or TypeError."""
    return decode(Quarantine, json.loads(text))


def spoken(folder: Path, count: int) -> tuple[str, ...]:
    """The last lines of the container in `folder` without the values of its environment; none if nobody knows those."""
    try:
        hidden = secrets_of(parse_made_from((folder / MADE_FROM).read_text())[0])
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return last_lines([masked(line, hidden) for line in logs.tail(folder / "log", count)])


def last_lines(lines: list[str]) -> tuple[str, ...]:
    """Output of a stranger as it may be shown: printable, and of bounded length."""
    plain = ("".join(letter if letter.isprintable() else " " for letter in line)[:LONGEST].strip() for line in lines)
    return tuple(line for line in plain if line)


def _read(folder: Path, parse: Callable[[str], T]) -> list[tuple[Path, T]]:
    found: list[tuple[Path, T]] = []
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            found.append((path, parse(path.read_text())))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _write(path: Path, text: str, what: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(path, text)
        files.sync(path)
        files.sync(path.parent)
    except OSError as error:
        raise HostError(f"cannot {what}: {path}: {error.strerror}") from error
