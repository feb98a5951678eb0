"""CNI as documents: a network configuration list, what each of its plugins is asked, and what they answered. Pure.

The rules are those of the Container Network Interface specification 1.1 (github.com/containernetworking/cni,
SPEC.md), sections 1 (configuration), 2 (execution) and 5 (results). Plugins are run by `host.cni`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.errors import HostError

Document = dict[str, Any]
"""JSON of somebody else: plugins may put anything there."""

_CHECKING = (0, 4, 0)  # the version from which plugins know CHECK
_OLDEST = (0, 3, 0)  # before it results had another form


@dataclass(frozen=True, slots=True)
class Configuration:
    """A network configuration list. `plugins` are called in this order, and for DEL in the reverse one."""

    name: str
    version: str
    plugins: tuple[Document, ...]
    disable_check: bool = False

    @property
    def checks(self) -> bool:
        """Whether its plugins can be asked to check what they made."""
        return _version(self.version) >= _CHECKING and not self.disable_check


def parse(text: str, where: str) -> Configuration:
    """The configuration in `text`, a list (`.conflist`) or one plugin's (`.conf`); `where` is for the message."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise HostError(f"cannot use the CNI configuration {where}: {error}") from None
    wrong = _wrong(document)
    if wrong:
        raise HostError(f"cannot use the CNI configuration {where}: {wrong}")
    return from_document(document)


def from_document(document: Document) -> Configuration:
    """The configuration that `document` is, known to be one."""
    return Configuration(
        name=document["name"],
        version=document["cniVersion"],
        plugins=tuple(document.get("plugins", (document,))),
        disable_check=str(document.get("disableCheck")).lower() == "true",
    )


def to_document(configuration: Configuration) -> Document:
    """What `from_document` reads."""
    return {
        "cniVersion": configuration.version,
        "name": configuration.name,
        "disableCheck": configuration.disable_check,
        "plugins": list(configuration.plugins),
    }


def _wrong(document: object) -> str:
    if not isinstance(document, dict):
        return "it is not an object"
    if not isinstance(document.get("name"), str) or not document["name"]:
        return "it has no name"
    if _version(document.get("cniVersion")) < _OLDEST:
        return f"cniVersion {document.get('cniVersion', 'is missing, and')} must be 0.3.0 or later"
    plugins = document.get("plugins", [document])
    if not isinstance(plugins, list) or not plugins:
        return "it has no plugins"
    return "" if all(map(_is_plugin, plugins)) else "each plugin needs a type, which is the name of a program"


def _is_plugin(plugin: object) -> bool:
    kind = plugin.get("type") if isinstance(plugin, dict) else None
    return isinstance(kind, str) and bool(kind) and "/" not in kind and kind not in {".", ".."}


def _version(text: object) -> tuple[int, ...]:
    try:
        return tuple(map(int, str(text).split(".")))
    except ValueError:
        return ()


def requests(
    configuration: Configuration, runtime: Mapping[str, object], result: Document | None
) -> Iterator[tuple[str, Document]]:
    """The program of each plugin and what it is given, in order; `result` is that of the whole list before.

    `runtime` are the values for capabilities; a plugin gets those that it declares. For ADD each plugin is given
    the result of the one before it, which the caller puts into the document as `prevResult`.
    """
    for plugin in configuration.plugins:
        given = {key: value for key, value in plugin.items() if key != "capabilities"}
        given |= {"cniVersion": configuration.version, "name": configuration.name}
        declared = plugin.get("capabilities")
        wanted = {key: value for key, value in runtime.items() if isinstance(declared, dict) and declared.get(key)}
        if wanted:
            given["runtimeConfig"] = wanted
        if result is not None:
            given["prevResult"] = result
        yield str(plugin["type"]), given


def granted(result: Document, interface: str) -> tuple[str, str]:
    """The first IPv4 and IPv6 address, with their prefix lengths, that a result gives `interface`; "" for none."""
    names = [entry.get("name") for entry in _objects(result.get("interfaces"))]
    found = {4: "", 6: ""}
    for entry in _objects(result.get("ips")):
        address = entry.get("address")
        if isinstance(address, str) and _belongs(entry, names, interface):
            version = 6 if ":" in address else 4
            found[version] = found[version] or address
    return found[4], found[6]


def _objects(value: object) -> list[Document]:
    return [entry if isinstance(entry, dict) else {} for entry in value] if isinstance(value, list) else []


def _belongs(entry: Document, names: list[object], interface: str) -> bool:
    """An address without the index of an interface is the container's."""
    place = entry.get("interface")
    if not isinstance(place, int) or not 0 <= place < len(names):
        return True
    return names[place] == interface


def refusal(answer: str) -> str:
    """What a plugin that failed says in its error result; "" when it says nothing of use."""
    try:
        document = json.loads(answer)
        words = [str(document[key]) for key in ("msg", "details") if document.get(key)]
    except (ValueError, TypeError, AttributeError, KeyError):
        return ""
    return "; ".join(words)
