"""The kinds of values in a Compose document, as pydantic types: what is accepted, and what it becomes.

Compose lets a quoted value stand for a number or a boolean, because variables are filled in as text; so do these.
"""

from __future__ import annotations

import re
import signal
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Strict

from reconciler.spec import forms, healthcheck, units
from reconciler.spec.forms import FormError

_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "on", "y"), True),
    **dict.fromkeys(("false", "no", "off", "n"), False),
}
_CAPABILITIES: Final = frozenset(
    {
    "ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
    "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST",
    "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT",
    "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
    "WAKE_ALARM",
    }
)  # fmt: skip
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9])?)*", re.ASCII)
_REALTIME = re.compile(r"SIGRTM(?:IN(?:\+[0-9]{1,2})?|AX(?:-[0-9]{1,2})?)", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?", re.ASCII)
_PLATFORM = re.compile(r"[a-z0-9]{1,16}/[a-z0-9_]{1,16}(?:/v[0-9]{1,2})?", re.ASCII)
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_PULL_POLICY = re.compile(r"missing|if_not_present|always|never|daily|weekly|every_[0-9][0-9.a-z]*", re.ASCII)
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(?::[0-9]{1,6})?", re.ASCII)


def _switch(value: object) -> object:
    return _WORDS.get(value.lower(), value) if isinstance(value, str) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value, re.ASCII) else value


def _count(value: int) -> int:
    if not 0 <= value <= 1000:
        raise FormError("it must be between 0 and 1000")
    return value


def _mtu(value: int) -> int:
    """Every link must carry 1280 bytes for IPv6 (RFC 8200, section 5), and 68 for IPv4 (RFC 791)."""
    if value and not 68 <= value <= 65535:
        raise FormError("it must be between 68 and 65535, and at least 1280 for IPv6")
    return value


def _decimal(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FormError("it must be a number")
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", str(value), re.ASCII):
        raise FormError(f"'{value}' is not a number above 0")
    return float(value)


def _share(value: float) -> float:
    if value > 1:
        raise FormError("it must be between 0 and 1")
    return value


def _processors(value: float) -> float:
    if value and not 0.01 <= value <= 8192:
        raise FormError("it must be at least 0.01 processors")
    return value


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise FormError("it must be a size, in bytes or as in 512m")
    return units.size(str(value))


def _memory(value: int) -> int:
    if 0 < value < 6 * 1024 * 1024:
        raise FormError("it must be at least 6m, as in Docker")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        raise FormError("it must be a text with a unit, as in 10s")
    return units.duration(value)


def _pause(value: float) -> float:
    """0 is Docker's way to say nothing; more often than a hundred times a second nothing is asked."""
    if 0 < value < 0.01:
        raise FormError("it must be at least 10ms")
    return value


def _tries(value: int) -> int:
    if not 0 <= value <= 10_000:
        raise FormError("it must be between 0 and 10000")
    return value


def _some(value: tuple[str, ...] | None) -> tuple[str, ...]:
    if not value or not value[0]:
        raise FormError("it must name a program")
    return value


def _mode(value: object) -> int:
    """A number is the value itself, as in Compose; a text is octal, and so is YAML's `01777`, which stays a text."""
    octal = isinstance(value, str) and re.fullmatch(r"(?:0o)?[0-7]{3,5}", value, re.ASCII)
    bits = int(str(value).removeprefix("0o"), 8) if octal else value
    if isinstance(bits, bool) or not isinstance(bits, int) or not 0 <= bits <= 0o7777:
        raise FormError("it must be permission bits in octal, as in '1777'")
    return bits


def _capability(value: str) -> str:
    name = value.upper().removeprefix("CAP_")
    if name in _CAPABILITIES:
        return name
    near = get_close_matches(name, _CAPABILITIES, 1)
    raise FormError(f"'{value}' is no capability" + (f"; did you mean {near[0]}?" if near else ""))


def _signal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    given = str(value).upper()
    if given.isdecimal():
        known = {int(entry): entry.name for entry in signal.Signals}
        if int(given) not in known:
            raise FormError(f"'{value}' is no signal")
        return known[int(given)]
    name = given if given.startswith("SIG") else f"SIG{given}"
    if name not in signal.Signals.__members__ and not _REALTIME.fullmatch(name):
        raise FormError(f"'{value}' is no signal; write one such as SIGTERM")
    return name


def _hostname(value: str) -> str:
    if len(value) > 64 or not _HOSTNAME.fullmatch(value):
        raise FormError(f"'{value}' is no host name; use letters, digits, '-' and '.', at most 64 of them")
    return value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise FormError(f"'{value}' is no user; write USER, UID, USER:GROUP or UID:GID")
    return value


def _restart(value: object) -> object:
    if value is False:
        raise FormError('the value is a boolean; write "no" in quotes')
    if isinstance(value, str) and not _RESTART.fullmatch(value):
        raise FormError(f"'{value}' is no restart policy; write no, always, on-failure[:N] or unless-stopped")
    return value


def _platform(value: str) -> str:
    """Docker's words for it: lower case, and the names that other tools use for the same processors."""
    parts = value.lower().split("/")
    if not _PLATFORM.fullmatch(value.lower()) or parts[0] != "linux":
        raise FormError(f"'{value}' is no platform of Linux; write linux/ARCHITECTURE, as in linux/arm64")
    return "/".join(("linux", _ARCHITECTURES.get(parts[1], parts[1]), *parts[2:]))


def _pull_policy(value: object) -> object:
    if value == "build":
        raise FormError("images are not built here; push it, and write always or missing")
    if isinstance(value, str) and not _PULL_POLICY.fullmatch(value):
        raise FormError(f"'{value}' is no pull policy; write missing, always, never, daily, weekly or every_12h")
    if isinstance(value, str) and value.startswith("every_") and units.duration(value.removeprefix("every_")) < 60:
        raise FormError("it must be at least a minute, as in every_1m")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise FormError(f"'{value}' must be an absolute path")
    return value


def _printable(value: str) -> str:
    if "\0" in value:
        raise FormError("it must not hold a NUL character")
    return value


def _name(pattern: str, rule: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise FormError(f"'{value}' is no name; {rule}")
        return value

    return AfterValidator(check)


def _before(read: Any, written: Any) -> BeforeValidator:
    return BeforeValidator(read, json_schema_input_type=written)


Text = Annotated[str, AfterValidator(_printable)]
Key = Annotated[str, _name("[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "use letters, digits, '_', '.' and '-', at most 63")]
AppName = Annotated[
    str,
    _name(
        "[a-z0-9][a-z0-9_-]{0,62}", "use lower-case letters, digits, '_' and '-', at most 63, a letter or digit first"
    ),
]
FullName = Annotated[str, _name("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", "use letters, digits, '_', '.' and '-'")]
Variable = Annotated[str, _name(r"[^=\0]+", "a variable's name has no '='")]
Switch = Annotated[bool, Strict(), _before(_switch, bool | str)]
Whole = Annotated[int, Strict(), _before(_whole, int | str)]
Mtu = Annotated[Whole, AfterValidator(_mtu)]
Processors = Annotated[float, AfterValidator(_processors), _before(_decimal, float | str)]
Share = Annotated[float, AfterValidator(_share), _before(_decimal, float | str)]
Size = Annotated[int, _before(_bytes, int | str)]
Memory = Annotated[int, AfterValidator(_memory), _before(_bytes, int | str)]
Duration = Annotated[float, _before(_seconds, str)]
Pause = Annotated[Duration, AfterValidator(_pause)]
Tries = Annotated[Whole, AfterValidator(_tries)]
Mode = Annotated[int, _before(_mode, int | str)]
Capability = Annotated[Text, AfterValidator(_capability)]
Signal = Annotated[str, _before(_signal, int | str)]
Hostname = Annotated[str, AfterValidator(_hostname)]
User = Annotated[str, AfterValidator(_user)]
RestartPolicy = Annotated[str, _before(_restart, str)]
Platform = Annotated[str, AfterValidator(_platform)]
PullPolicy = Annotated[str, _before(_pull_policy, str)]
AbsolutePath = Annotated[Text, AfterValidator(_absolute)]
Command = Annotated[tuple[Text, ...] | None, _before(forms.words, str | list[str] | None)]
Program = Annotated[Command, AfterValidator(_some)]
HealthTest = Annotated[
    tuple[Text, ...], AfterValidator(healthcheck.checked), _before(healthcheck.listed, str | list[str])
]
Loose = Annotated[Text, _before(forms.text, str | int | float | bool)]
Variables = Annotated[
    dict[Variable, Loose | None], _before(forms.pairs, dict[str, str | int | float | bool | None] | list[str])
]
Labels = Annotated[
    dict[Text, Loose | None], _before(forms.pairs, dict[str, str | int | float | bool | None] | list[str])
]
Span = Annotated[tuple[int, int], _before(forms.span, int | str)]
Several = Annotated[tuple[Text, ...], _before(forms.several, str | list[str])]
Replicas = Annotated[Whole, AfterValidator(_count)]
