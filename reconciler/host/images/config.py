"""The image config: what an image asks for, checked before anybody acts on it (RELIABILITY §1.4, C-01…C-14).

Pure. Every refusal is a `ValueError` with one reason. Source: OCI image-spec config.md.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.health import CommandTest, Healthcheck
from reconciler.core.model import ImageConfig
from reconciler.core.networking import Pairs
from reconciler.host.images.documents import Platform, check_digest, read_json

WORDS_LIMIT = 10_000  # arguments, variables, labels
VOLUMES_LIMIT = 256
RETRIES_LIMIT = 10_000
DAY = 86_400  # seconds, the longest time in a health check
SHORTEST = 0.1  # seconds
UID_LIMIT = (1 << 31) - 1

_NUMBER = re.compile(r"[0-9]{1,10}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?")
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?")
_REAL_TIME = re.compile(r"RTM(?:IN(?:\+([0-9]{1,2}))?|AX(?:-([0-9]{1,2}))?)")
_FORBIDDEN = ("/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class Image:
    """A whole image config: the diffIDs, lowest first, and what the image asks for."""

    layers: tuple[str, ...]
    platform: Platform
    created: str
    config: ImageConfig


def read_config(text: bytes, host: Platform) -> Image:
    """The config of an image that can run on `host`."""
    document = read_json(text)
    platform = _platform(document)
    if (platform.os, platform.architecture) != (host.os, host.architecture):
        raise ValueError(f"the image is for {Platform(platform.os, platform.architecture)}, the host is {host}")
    created = document.get("created")
    return Image(
        layers=_layers(_object(document.get("rootfs"), "rootfs")),
        platform=platform,
        created=created[:64] if isinstance(created, str) else "",
        config=_asked(_object(document.get("config"), "config")),
    )


def _platform(document: Mapping[str, object]) -> Platform:
    system, machine, variant = (document.get(key) or "" for key in ("os", "architecture", "variant"))
    if not (isinstance(system, str) and isinstance(machine, str) and isinstance(variant, str)) or not (
        system and machine
    ):
        raise ValueError("it does not say for which os and architecture it is")
    return Platform(system[:64], machine[:64], variant[:64])


def _layers(rootfs: Mapping[str, object]) -> tuple[str, ...]:
    listed = rootfs.get("diff_ids")
    if rootfs.get("type") != "layers" or not isinstance(listed, list):
        raise ValueError("rootfs is not of type layers")
    return tuple(check_digest(item) for item in listed)


def _asked(config: Mapping[str, object]) -> ImageConfig:
    return ImageConfig(
        environment=_environment(_words(config.get("Env"), "Env")),
        entrypoint=_words(config.get("Entrypoint"), "Entrypoint"),
        command=_words(config.get("Cmd"), "Cmd"),
        working_dir=_folder(config.get("WorkingDir"), "WorkingDir"),
        user=_user(_text(config.get("User"), "User")),
        stop_signal=_signal(_text(config.get("StopSignal"), "StopSignal")),
        volumes=_volumes(_object(config.get("Volumes"), "Volumes")),
        exposed_ports=tuple(_port(name) for name in sorted(_object(config.get("ExposedPorts"), "ExposedPorts"))),
        labels=_labels(_object(config.get("Labels"), "Labels")),
        healthcheck=_healthcheck(_object(config.get("Healthcheck"), "Healthcheck")),
    )


# --- one field each ----------------------------------------------------------------------------------------------


def _object(value: object, name: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    if len(value) > WORDS_LIMIT:
        raise ValueError(f"{name} has {len(value)} entries")
    return value


def _text(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    if "\0" in value or not _encodes(value):
        raise ValueError(f"{name} has a character that no program can be given")
    return value


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _words(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} is not a list of texts")
    if len(value) > WORDS_LIMIT:
        raise ValueError(f"{name} has {len(value)} entries")
    return tuple(_text(item, name) for item in value)


def _environment(lines: tuple[str, ...]) -> tuple[str, ...]:
    for line in lines:
        if line.find("=") < 1:
            raise ValueError(f"Env entry {line[:60]!r} is not NAME=value")
    return lines


def _folder(value: object, name: str) -> str:
    text = _text(value, name)
    if not text:
        return ""
    parts = [part for part in text.split("/") if part not in {"", "."}]
    path = "/" + "/".join(parts)
    if not text.startswith("/") or ".." in parts or len(text.encode()) >= 4096:
        raise ValueError(f"{name} {text[:60]!r} is not an absolute, clean path")
    if path == "/proc" or path.startswith("/proc/"):
        raise ValueError(f"{name} {text[:60]!r} is below /proc")
    return path


def _volumes(value: Mapping[str, object]) -> tuple[str, ...]:
    if len(value) > VOLUMES_LIMIT:
        raise ValueError(f"Volumes has {len(value)} entries")
    paths = tuple(sorted({_folder(name, "Volumes") for name in value}))
    for path in paths:
        if path in {"", "/"} or any(path == top or path.startswith(f"{top}/") for top in _FORBIDDEN):
            raise ValueError(f"Volumes entry {path!r} is not a place for a volume")
    return paths


def _user(text: str) -> str:
    """`name`, `uid`, `name:group`, `uid:gid`: digits are never looked up as a name, so they must be a possible id."""
    if not text:
        return ""
    user, colon, group = text.partition(":")
    for part in (user, group) if colon else (user,):
        if not _is_account(part):
            raise ValueError(f"User {text[:60]!r} is not a name or a number up to {UID_LIMIT}")
    return text


def _is_account(text: str) -> bool:
    if text.isdigit() or _NUMBER.fullmatch(text):
        return bool(_NUMBER.fullmatch(text)) and int(text) <= UID_LIMIT
    return _NAME.fullmatch(text) is not None


def _signal(text: str) -> str:
    """The signal as SIGNAME, or RTMIN+n as a number."""
    if not text:
        return ""
    name = text.upper().removeprefix("SIG")
    if _NUMBER.fullmatch(name) and 1 <= int(name) <= signal.SIGRTMAX:
        return _signal_name(int(name))
    if f"SIG{name}" in signal.Signals.__members__:
        return f"SIG{name}"
    found = _REAL_TIME.fullmatch(name)
    number = (
        (signal.SIGRTMIN + int(found[1] or 0) if "MIN" in name else signal.SIGRTMAX - int(found[2] or 0))
        if found
        else 0
    )
    if not signal.SIGRTMIN <= number <= signal.SIGRTMAX:
        raise ValueError(f"StopSignal {text[:40]!r} is not a signal")
    return str(number)


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in {item.value for item in signal.Signals} else str(number)


def _healthcheck(value: Mapping[str, object]) -> Healthcheck | None:
    """Docker's `HEALTHCHECK`, times in nanoseconds (moby api/types/container/health.go); an empty test says nothing."""
    words = _words(value.get("Test"), "Healthcheck.Test")
    if not words:
        return None
    return Healthcheck(
        test=_test(words),
        interval=_moment(value, "Interval"),
        timeout=_moment(value, "Timeout"),
        retries=_whole(value, "Retries", RETRIES_LIMIT),
        start_period=_moment(value, "StartPeriod"),
        start_interval=_moment(value, "StartInterval"),
    )


def _test(words: tuple[str, ...]) -> CommandTest | None:
    match words:
        case ("NONE",):
            return None
        case ("CMD", program, *rest) if program:
            return CommandTest(argv=(program, *rest))
        case ("CMD-SHELL", text) if text:
            return CommandTest(argv=("/bin/sh", "-c", text))
        case _:
            raise ValueError(f"Healthcheck.Test {words[0][:40]!r} is not NONE, CMD or CMD-SHELL with a command")


def _moment(value: Mapping[str, object], name: str) -> float:
    """In seconds. 0 says nothing; less than a tenth of a second would be asked too often."""
    seconds = _whole(value, name, DAY * 1_000_000_000) / 1_000_000_000
    return max(seconds, SHORTEST) if seconds else 0.0


def _whole(value: Mapping[str, object], name: str, limit: int) -> int:
    number = value.get(name) or 0
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= limit:
        raise ValueError(f"Healthcheck.{name} is not a whole number from 0 to {limit}")
    return number


def _port(text: str) -> str:
    found = _PORT.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError(f"ExposedPorts entry {text[:40]!r} is not a port")
    return f"{int(found[1])}/{found[2] or 'tcp'}"


def _labels(value: Mapping[str, object]) -> Pairs:
    return tuple(sorted((_text(name, "Labels"), _text(text, "Labels")) for name, text in value.items()))
