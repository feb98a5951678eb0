"""Runs the plugins of those who bring a CNI configuration of their own, and remembers what they answered.

A result is kept below `<state>/cni/<id>/`, with the configuration that it came from, so that DEL can be asked after a
restart, a reboot, or when the configuration is gone; what it says of addresses is read by `observe.links`. What the
documents mean stands in `core.cni`. Used by `networks`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.core import cni
from reconciler.core.cni import Configuration, Document
from reconciler.core.networking import Endpoint
from reconciler.errors import HostError
from reconciler.host.files import replace, sync
from reconciler.host.run import ProgramError, run
from reconciler.settings import Settings

FOLDER = "cni"
_SECONDS = 60.0  # for one plugin: dhcp may wait for an answer


@dataclass(frozen=True, slots=True)
class _Call:
    """What a plugin learns from its environment (section 2)."""

    id: str
    namespace: Path
    interface: str
    configuration: Configuration
    runtime: Mapping[str, object]


class Plugins:
    """ADD, CHECK and DEL."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state / FOLDER
        self._path = settings.cni_path

    def connect(self, id: str, endpoint: Endpoint, namespace: Path, fresh: bool) -> None:
        """Have the plugins make the interface, unless it is there and they find nothing wrong with it."""
        kept = self._folder / id / f"{endpoint.interface}.json"
        if kept.exists():
            if not fresh and self._is_well(id, kept, namespace):
                return
            self._delete(id, kept, namespace)
        file = Path(endpoint.network.cni)
        try:
            configuration = cni.parse(file.read_text(), str(file))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise HostError(f"cannot use the CNI configuration {file}: {why}") from None
        self._add(_Call(id, namespace, endpoint.interface, configuration, _runtime(endpoint)), kept)

    def disconnect(self, id: str, namespace: Path) -> None:
        """Have the plugins take away what they made; the first that cannot is told when all were asked."""
        refusals: list[HostError] = []
        for kept in sorted((self._folder / id).glob("*.json"), reverse=True):
            try:
                self._delete(id, kept, namespace)
            except HostError as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]
        shutil.rmtree(self._folder / id, ignore_errors=True)

    def _add(self, call: _Call, kept: Path) -> None:
        _keep(kept, call, None)  # from here on there is something to take away
        result: Document | None = None
        for program, document in cni.requests(call.configuration, call.runtime, None):
            given = {**document, "prevResult": result} if result is not None else document
            result = _result(program, self._run("ADD", program, given, call))
        _keep(kept, call, result)

    def _is_well(self, id: str, kept: Path, namespace: Path) -> bool:
        call, result = _kept(id, kept, namespace)
        if result is None:
            return False
        if not call.configuration.checks:
            return True
        try:
            for program, document in cni.requests(call.configuration, call.runtime, result):
                self._run("CHECK", program, document, call)
        except HostError:
            return False
        return True

    def _delete(self, id: str, kept: Path, namespace: Path) -> None:
        call, result = _kept(id, kept, namespace)
        for program, document in reversed([*cni.requests(call.configuration, call.runtime, result)]):
            self._run("DEL", program, document, call)
        kept.unlink(missing_ok=True)

    def _run(self, command: str, program: str, document: Document, call: _Call) -> str:
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": call.id,
            "CNI_NETNS": str(call.namespace) if command != "DEL" or call.namespace.exists() else "",
            "CNI_IFNAME": call.interface,
            "CNI_PATH": ":".join(self._path),
        }
        try:
            return run([self._find(program)], input=json.dumps(document), env=environment, timeout=_SECONDS)
        except ProgramError as error:
            why = cni.refusal(error.output) or str(error)
            raise HostError(
                f"cannot {command} network {call.configuration.name} by CNI plugin {program}: {why}"
            ) from None

    def _find(self, program: str) -> str:
        for folder in self._path:
            if (Path(folder) / program).is_file():
                return str(Path(folder) / program)
        raise HostError(
            f"cannot run CNI plugin {program}: it is in none of {', '.join(self._path)}; install it, or set cni_path"
        )


class Grants:
    """Reads the addresses that plugins gave; each file once, for its result does not change."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state / FOLDER
        self._read: dict[tuple[str, str, int], tuple[str, str]] = {}

    def look(self) -> Mapping[str, Mapping[str, tuple[str, str]]]:
        """IPv4 and IPv6 address, "" for none, by the container's id and its interface."""
        paths = self._folder.glob("*/*.json") if self._folder.exists() else ()
        seen = {mark: path for path in paths if (mark := _mark(path))}
        self._read = {mark: self._read[mark] if mark in self._read else _granted(path) for mark, path in seen.items()}
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for (id, interface, _), addresses in self._read.items():
            found.setdefault(id, {})[interface] = addresses
        return found


def _mark(path: Path) -> tuple[str, str, int] | None:
    try:
        return path.parent.name, path.stem, path.stat().st_mtime_ns
    except FileNotFoundError:  # it went meanwhile
        return None


def _granted(path: Path) -> tuple[str, str]:
    try:
        _, result = _kept(path.parent.name, path, Path())
    except HostError:  # whoever needs the file to act will say so
        return "", ""
    return cni.granted(result or {}, path.stem)


def _runtime(endpoint: Endpoint) -> dict[str, object]:
    """Values of capabilities (CONVENTIONS.md of the specification); ports are published by our own table."""
    given = {
        "mac": endpoint.mac,
        "aliases": {endpoint.network.name: list(endpoint.aliases)} if endpoint.aliases else {},
    }
    return {key: value for key, value in given.items() if value}


def _keep(path: Path, call: _Call, result: Document | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {"configuration": cni.to_document(call.configuration), "runtime": call.runtime, "result": result}
    replace(path, json.dumps(document))
    sync(path)
    sync(path.parent)


def _kept(id: str, path: Path, namespace: Path) -> tuple[_Call, Document | None]:
    """The call and its result, None when it did not come to an end."""
    try:
        document = json.loads(path.read_text())
        configuration = cni.from_document(document["configuration"])
        return _Call(id, namespace, path.stem, configuration, document["runtime"]), document["result"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(
            f"cannot read what the CNI plugins answered ({path}): {error}; delete the file, and what they made by hand"
        ) from error


def _result(program: str, answer: str) -> Document:
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise HostError(f"cannot use the answer of CNI plugin {program}: it is not a result")
    return document
