"""Settings from three places: the command line wins over the environment, which wins over the file.

One table says what there is; every entry of it is `key = value` in the file, `RECONCILER_KEY` in the environment
and `--key` in argv. Whatever cannot be meant is refused in one sentence. Read once, by `__main__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from reconciler.errors import ReconcilerError
from reconciler.settings import HistoryLimits, ImageLimits, LogLimits, Settings, TrustRule

FILE = Path("/etc/reconciler/reconciler.toml")
PREFIX = "RECONCILER_"
_NOT_SETTINGS = frozenset({"config", "debug"})  # in the environment, but about this run rather than the host
_SUFFIXES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class SettingsError(ReconcilerError):
    """What an operator set cannot be meant; exit status 2."""


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be set. `read` takes what stands in the file, or text, and raises ValueError with the why."""

    key: str  # as in the file: log_size
    read: Callable[[object], object]
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """As in argv: --log-size."""
        return "--" + self.key.replace("_", "-")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("it must be text")
    return value


def _path(value: object) -> Path:
    return Path(_text(value)).expanduser().absolute()


def _name(value: object) -> str:
    name = _text(value)
    if len(name) > 32 or not all(part.isascii() and part.isalnum() for part in name.split("-")):
        raise ValueError("it must be letters, digits and single dashes, 32 at most")
    return name


def _integer(lowest: int, highest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        try:
            number = int(cast("int | str", value))
        except (TypeError, ValueError, OverflowError):
            number = lowest - 1
        if isinstance(value, bool | float) or not lowest <= number <= highest:
            raise ValueError(f"it must be a whole number from {lowest} to {highest}")
        return number

    return read


def _seconds(value: object) -> float:
    try:
        seconds = -1.0 if isinstance(value, bool) else float(cast("float | str", value))
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 1 <= seconds <= 86400:
        raise ValueError("it must be a number of seconds from 1 to 86400")
    return seconds


def _bit(value: object) -> int:
    try:
        number = int(str(value), 0)
    except ValueError:
        number = 0
    if isinstance(value, bool | float) or number.bit_count() != 1 or not 0 < number < 1 << 32:
        raise ValueError("it must be one bit of 32, as 0x1000")
    return number


def _size(value: object) -> int:
    text = str(value).lower().removesuffix("b")
    factor = _SUFFIXES.get(text[-1:], 1)
    digits = text if factor == 1 else text[:-1]
    if isinstance(value, bool) or not (digits.isascii() and digits.isdecimal()) or len(digits) > 15:
        raise ValueError("it must be a number of bytes, or one with k, m or g behind it")
    return int(digits) * factor


def _switch(value: object) -> bool:
    known = {"true": True, "yes": True, "false": False, "no": False}.get(str(value).lower())
    if known is None:
        raise ValueError("it must be true or false")
    return known


def _choice(*allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"it must be one of {', '.join(allowed)}")
        return str(value)

    return read


def _hosts(value: object) -> tuple[str, ...]:
    given = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(host, str) and host for host in given):
        raise ValueError("it must be a list of hosts")
    return tuple(given)


def _mirrors(value: object) -> tuple[str, ...]:
    pairs = _hosts(value)
    if not all(0 < pair.find("=") < len(pair) - 1 for pair in pairs):
        raise ValueError("it must be a list of HOST=URL")
    return pairs


def _folders(value: object) -> tuple[str, ...]:
    given = value.split(":") if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(folder, str) and folder[:1] == "/" for folder in given):
        raise ValueError("it must be a list of absolute paths")
    return tuple(given)


def _pool(value: object) -> str:
    import ipaddress

    try:
        pool = ipaddress.IPv4Network(_text(value))
    except ValueError as error:
        raise ValueError(f"it must be an IPv4 network such as 10.192.0.0/12 ({error})") from None
    return str(pool)


OPTIONS = (
    Option("specs", _path, "DIR", "the directory of specs"),
    Option("state", _path, "DIR", "where images, containers and volumes are kept"),
    Option("run_directory", _path, "DIR", "where the socket and what is lost at a reboot are kept"),
    Option("instance", _name, "NAME", "the name of this installation on the host; two with two names never meet"),
    Option("runtime", _text, "PROGRAM", "the OCI runtime: runc, crun or a path"),
    Option("monitor", _text, "PROGRAM", "the container monitor: conmon or a path"),
    Option("cgroup_driver", _choice("auto", "cgroupfs", "systemd"), "DRIVER", "auto, cgroupfs or systemd"),
    Option("socket_group", _text, "GROUP", "the group that may read the status socket"),
    Option("address_pool", _pool, "NETWORK", "the addresses from which networks are taken"),
    Option("network_prefix", _integer(8, 30), "BITS", "the prefix length of one network"),
    Option("packet_mark", _bit, "BIT", "the bit of packets' marks that nobody else here uses, nor another instance"),
    Option("cni_path", _folders, "DIRS", "where CNI plugins are looked for, separated by colons"),
    Option("resync", _seconds, "SECONDS", "how often everything is looked at, whatever happens"),
    Option("workers", _integer(1, 64), "COUNT", "how many tasks run at the same time"),
    Option("pulls", _integer(1, 64), "COUNT", "how many images are fetched at the same time"),
    Option("image_age", _integer(0, 1 << 31), "SECONDS", "how long images are kept that nothing uses"),
    Option("image_disk", _integer(1, 100), "PERCENT", "how full the disk may be before they go at once"),
    Option("restart_unhealthy", _switch, "BOOLEAN", "whether containers whose health test fails are started again"),
    Option("max_removal", _integer(0, 1 << 31), "COUNT", "how many apps may go at once though they are more than half"),
    Option("log_size", _size, "BYTES", "how large one log file of a container may become"),
    Option("log_files", _integer(1, 100), "COUNT", "how many log files of a container are kept"),
    Option(
        "history_entries",
        _integer(1, 10000),
        "COUNT",
        "how many records of a replica, or revisions of an app, are kept",
    ),
    Option("history_size", _size, "BYTES", "how much history is kept in all"),
    Option("insecure_registries", _hosts, "HOSTS", "registries that may be spoken to without verified TLS"),
    Option("registry_ca", _path, "FILE", "certificates that registries may be signed with"),
    Option(
        "registry_mirrors", _mirrors, "HOST=URL", "places to ask before a registry itself, as docker.io=mirror.example"
    ),
    Option("registry_hosts", _path, "DIR", "mirrors and certificates of registries in containerd's form"),
    Option("registry_auth", _path, "FILE", "logins for registries, as docker login or podman login write them"),
)
_BY_KEY = {option.key: option for option in OPTIONS}

# the table [images] of the file: the most that an image may be
LIMITS = (
    Option("compressed", _size, "BYTES", "all layers of an image, as they are sent"),
    Option("unpacked", _size, "BYTES", "one layer"),
    Option("entries", _integer(1, 1 << 31), "COUNT", "of one layer"),
    Option("ratio", _integer(1, 1 << 20), "RATIO", "unpacked to compressed, of one layer"),
    Option("depth", _integer(1, 2048), "COUNT", "folders in folders"),
    Option("manifest", _integer(1, 4 << 20), "BYTES", "of a manifest or index"),
    Option("config", _integer(1, 4 << 20), "BYTES", "of a config"),
    Option("layers", _integer(1, 128), "COUNT", "of an image"),
    Option("reserve", _size, "BYTES", "left free on the disk"),
    Option("seconds", _seconds, "SECONDS", "for all layers of an image"),
    Option("connect", _seconds, "SECONDS", "until a registry takes a connection"),
    Option("answer", _seconds, "SECONDS", "until its answer begins"),
    Option("stall", _seconds, "SECONDS", "until a document is here, and over which the pace of a layer is measured"),
    Option("slowest", _integer(0, 1 << 30), "BYTES", "a second that a layer must bring"),
)


def read_settings(given: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """The settings of this run. `given` is the command line: key -> text, None where nothing was said.

    Raises SettingsError.
    """
    named = given.get("config") or environment.get(f"{PREFIX}CONFIG")
    values = _from_file(Path(str(named)) if named else FILE, required=bool(named))
    values |= _from_environment(environment)
    values |= {
        key: _read(option, given[key], option.flag) for key, option in _BY_KEY.items() if given.get(key) is not None
    }
    return _settings(values)


def _settings(values: dict[str, object]) -> Settings:
    logs = {name: values.pop(f"log_{name}") for name in ("size", "files") if f"log_{name}" in values}
    history = {name: values.pop(f"history_{name}") for name in ("entries", "size") if f"history_{name}" in values}
    if "images" in values:
        values["image_limits"] = values.pop("images")
    if "run_directory" in values:
        values["run"] = values.pop("run_directory")
    return Settings(**values, logs=LogLimits(**logs), history=HistoryLimits(**history))  # type: ignore[arg-type]


def _read(option: Option, value: object, source: str) -> object:
    try:
        return option.read(value)
    except ValueError as error:
        raise SettingsError(f"cannot use {source}: {error}") from None


def _from_file(path: Path, *, required: bool) -> dict[str, object]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        if required:
            raise SettingsError(f"cannot read {path}: there is no such file") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"cannot read {path}: {error}") from None
    known = _BY_KEY | {table.key: table for table in TABLES}
    for key in found:
        if key not in known:
            raise SettingsError(f"cannot use {key} in {path}: there is no such setting{_nearest(key, 0.0)}")
    return {key: _read(known[key], value, f"{key} in {path}") for key, value in found.items()}


def _limits(value: object) -> ImageLimits:
    if not isinstance(value, dict):
        raise ValueError("it must be a table")
    known = {option.key: option for option in LIMITS}
    for key in value:
        if key not in known:
            raise ValueError(f"there is no limit {key}; there are {', '.join(known)}")
    return ImageLimits(**{key: cast("int", _named(known[key], entry)) for key, entry in value.items()})


def _named(option: Option, value: object) -> object:
    try:
        return option.read(value)
    except ValueError as error:
        raise ValueError(f"{option.key}: {error}") from None


def _trust(value: object) -> tuple[TrustRule, ...]:
    from reconciler.cli.trust import read_trust

    return read_trust(value)


# what only the file can say
TABLES = (
    Option("images", _limits, "", "the most that an image may be"),
    Option("trust", _trust, "", "which images may be used"),
)


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values = {}
    for variable, text in sorted(environment.items()):
        key = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or key in _NOT_SETTINGS:
            continue
        if key in _BY_KEY:
            values[key] = _read(_BY_KEY[key], text, variable)
        elif near := _nearest(key, 0.8):  # others may use the prefix too; what looks like a slip is refused
            raise SettingsError(f"cannot use {variable}: there is no such setting{near}")
    return values


def _nearest(key: str, cutoff: float) -> str:
    import difflib

    near = difflib.get_close_matches(key, _BY_KEY, 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""
