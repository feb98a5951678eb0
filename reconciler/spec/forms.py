"""Short forms of Compose to their long forms: pure functions over plain data, used by the models.

A value that is in no short form comes back as it was, so that the model behind says what is wrong with it.
`FormError` carries the reason.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

_PORT = re.compile(
    r"(?:(?:(?P<ip>[0-9.]+|\[[0-9a-fA-F:.%a-z]+\]):)?(?P<published>[0-9]+(?:-[0-9]+)?)?:)?"
    r"(?P<target>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[a-z]+))?",
    re.ASCII,
)
_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", re.ASCII)
_PROPAGATIONS: Final = frozenset({"rprivate", "private", "rshared", "shared", "rslave", "slave"})
PORTS: Final = "ports go from 1 to 65535, and a range from its lower to its upper end"
_IGNORED_MODES: Final = frozenset({"rw", "cached", "delegated", "consistent"})  # as Docker does on Linux


class FormError(ValueError):
    """What is wrong with a value; `at` leads from the value to the item that is meant."""

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at = at


def words(value: object) -> object:
    """`command`, `entrypoint`: one text is split as a shell would, without being run by one."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError:
        raise FormError("a quotation mark is not closed") from None


def empty(value: object) -> object:
    """A mapping that was left empty in YAML."""
    return {} if value is None else value


def several(value: object) -> object:
    """One text or mapping where a list is meant."""
    return [value] if isinstance(value, str | dict) else value


def pairs(value: object) -> object:
    """`NAME=value` items to a mapping; `NAME` alone has no value."""
    if not isinstance(value, list):
        return empty(value)
    found: dict[str, str | None] = {}
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item.partition("=")[0]:
            raise FormError("it must be a text NAME=value", index)
        name, equals, text = item.partition("=")
        found[name] = text if equals else None
    return found


def text(value: object) -> object:
    """The value of a variable or label: numbers and booleans as they are written."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def names(value: object) -> object:
    """A list of names to a mapping of names to nothing."""
    if not isinstance(value, list):
        return empty(value)
    found: dict[str, None] = {}
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise FormError("it must be a name", index)
        if item in found:
            raise FormError(f"'{item}' stands there twice", index)
        found[item] = None
    return found


def port(value: object) -> object:
    """`[[IP:]PUBLISHED:]TARGET[/PROTOCOL]`."""
    if isinstance(value, list | dict):
        return value
    found = _PORT.fullmatch(str(value))
    if not found:
        raise FormError(f'\'{value}\' is no port; write "8080:80", "127.0.0.1:8080:80" or "53:53/udp"')
    long = {key: part for key, part in found.groupdict().items() if part is not None and key != "ip"}
    return {**long, "host_ip": found["ip"].strip("[]")} if found["ip"] else long


def span(value: object) -> tuple[int, int]:
    """A port or a range of ports, as first and last."""
    found = _RANGE.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if not found:
        raise FormError("it must be a port number or a range such as 8000-8010")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= 65535:
        raise FormError(PORTS)
    if last - first > 1000:
        raise FormError("a range has at most 1000 ports")
    return first, last


def exposed(value: object) -> object:
    """`TARGET[/PROTOCOL]` with its protocol."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    ports, _, protocol = text.partition("/") if isinstance(text, str) else ("", "", "")
    if protocol not in ("", "tcp", "udp"):
        raise FormError("it must be a port or a range of ports, with /tcp or /udp")
    first, last = span(ports)
    return f"{first if first == last else f'{first}-{last}'}/{protocol or 'tcp'}"


def mount(value: object) -> object:
    """`[SOURCE:]TARGET[:MODES]`."""
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) == 1:
        raise FormError("a volume without a name is not supported; give it one, as in data:/var/lib/data")
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise FormError(f"'{value}' is no mount; write SOURCE:TARGET or SOURCE:TARGET:ro")
    source, target = parts[0], parts[1]
    kind = "bind" if source[0] in "/.~" else "volume"
    return {"type": kind, "source": source, "target": target, **_modes(parts[2] if len(parts) == 3 else "", kind)}


def _modes(modes: str, kind: str) -> Mapping[str, object]:
    long: dict[str, object] = {}
    for mode in modes.split(",") if modes else ():
        if mode == "ro":
            long["read_only"] = True
        elif mode == "nocopy" and kind == "volume":
            long["volume"] = {"nocopy": True}
        elif mode in _PROPAGATIONS and kind == "bind":
            long["bind"] = {"propagation": mode}
        elif mode in ("z", "Z"):
            raise FormError(f"mode '{mode}' is not supported; SELinux labels are left as they are")
        elif mode not in _IGNORED_MODES:
            raise FormError(f"'{mode}' is no mode of a {kind} mount; write ro or rw")
    return long
