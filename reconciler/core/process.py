"""What runs in a container: arguments, environment, user, capabilities, stop signal, as Docker decides them.

Pure: an image's configuration and its passwd and group files come in as text that a stranger wrote, and every limit on
them stands here. Who reads those files, without leaving the image, is `host.rootfs`.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.model import Container, ImageConfig
from reconciler.errors import UnfitError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIGHEST_ID = 2**31 - 1
MOST_GROUPS = 1000  # supplementary groups of one user; the kernel stops at 65536

# moby daemon/pkg/oci/caps/defaults.go: what users of images rely on.
DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)

# capabilities(7), in the order of <linux/capability.h>.
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)


@dataclass(frozen=True, slots=True)
class User:
    """Who a process runs as. `groups` are all supplementary groups, the primary one among them, as Docker sets them."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    uid: int
    gid: int
    home: str


def arguments(container: Container, image: ImageConfig) -> tuple[str, ...]:
    """What is executed. An entry point given in the spec takes the image's command away too, as in Docker."""
    if container.entrypoint is not None:
        argv = (*container.entrypoint, *(container.command or ()))
    else:
        argv = (*image.entrypoint, *(image.command if container.command is None else container.command))
    if not argv or not argv[0]:
        raise UnfitError(f"cannot create container {container.name}: neither spec nor image say what to run")
    if any("\0" in argument for argument in argv):
        raise UnfitError(f"cannot create container {container.name}: an argument holds a zero byte")
    return argv


def environment(container: Container, image: ImageConfig, hostname: str, home: str) -> tuple[str, ...]:
    """`NAME=value`, each name once: PATH and HOSTNAME, the image's, the spec's, and HOME when none said it."""
    known = {"PATH": PATH, "HOSTNAME": hostname}
    pairs = [entry.partition("=") for entry in image.environment if not entry.startswith("=")]
    known.update({name: value for name, separator, value in pairs if separator})
    known.update(container.environment)
    known.setdefault("HOME", home)
    if any("\0" in name + value for name, value in known.items()):
        raise UnfitError(f"cannot create container {container.name}: its environment holds a zero byte")
    return tuple(f"{name}={value}" for name, value in known.items())


def working_dir(container: Container, image: ImageConfig) -> str:
    """Where the process starts: absolute, without `..`, and not below /proc (CVE-2024-21626)."""
    path = container.working_dir or image.working_dir or "/"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    clean = "/" + "/".join(parts)
    if not path.startswith("/") or ".." in parts or "\0" in path or len(clean) > 4095 or parts[:1] == ["proc"]:
        raise UnfitError(
            f"cannot create container {container.name}: working directory {path[:100]!r} is not a plain absolute path"
        )
    return clean


def stop_signal(container: Container, image: ImageConfig) -> str:
    """The resolved stop signal, a name such as SIGTERM."""
    text = container.stop_signal or image.stop_signal or "SIGTERM"
    try:
        return signal_name(text)
    except ValueError:
        raise UnfitError(f"cannot create container {container.name}: {text[:40]!r} is no signal") from None


def signal_name(text: str) -> str:
    """The name of `15`, `TERM`, `SIGTERM`, `RTMIN+3`. Raises ValueError for what is none."""
    if re.fullmatch(r"[0-9]{1,2}", text, re.ASCII):
        number = int(text)
    else:
        number = signal_number("SIG" + text.upper().removeprefix("SIG"))
    if number not in signal.valid_signals():
        raise ValueError(text)
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    return signal.Signals(number).name


def signal_number(name: str) -> int:
    """The number of SIGTERM, SIGRTMIN+3, SIGRTMAX-2. Raises ValueError for what is none."""
    parts = re.fullmatch(r"(SIG[A-Z0-9]+?)(?:([+-])([0-9]{1,2}))?", name, re.ASCII)
    if parts is None:
        raise ValueError(name)
    base, sign, offset = parts.groups()
    known = signal.Signals.__members__.get(base)
    if known is None or (sign and base not in ("SIGRTMIN", "SIGRTMAX")):
        raise ValueError(name)
    return int(known) + int(f"{sign or ''}{offset or 0}")


def capabilities(container: Container) -> tuple[str, ...]:
    """`CAP_…`, sorted: Docker's, with what the spec adds, less what it drops; ALL means all there are."""
    added, dropped = set(container.cap_add), set(container.cap_drop)
    for name in sorted(added | dropped):
        if name != "ALL" and name not in CAPABILITIES:
            raise UnfitError(f"cannot create container {container.name}: {name!r} is no capability")
    base = set(CAPABILITIES) if "ALL" in added else set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES)
    kept = (base | added) - (dropped - added if "ALL" in dropped else dropped) - {"ALL"}
    return tuple(f"CAP_{name}" for name in sorted(kept))


# --- users ---------------------------------------------------------------------------------------------------


def user(spec: str, passwd: str, group: str) -> User:
    """Who `spec` (`""`, `name`, `uid`, `name:group`, `uid:gid`) is, given the image's own passwd and group files.

    A number is never looked up as a name. Raises HostError for what cannot be found or is out of range.
    """
    who, colon, of = spec.partition(":")
    if colon and not (who and of):
        raise UnfitError(f"cannot find user {spec[:100]!r}: user or group is missing beside the colon")
    entry = _entry(who, passwd)
    if of:
        gid = _gid(of, group)
        return User(entry.uid, gid, (gid,), entry.home)
    more = tuple(dict.fromkeys((entry.gid, *_groups_of(entry.name, group))))
    if len(more) > MOST_GROUPS:
        raise UnfitError(f"cannot find user {spec[:100]!r}: the image gives it more than {MOST_GROUPS} groups")
    return User(entry.uid, entry.gid, more, entry.home)


def _entry(who: str, passwd: str) -> _Entry:
    number = _number(who or "0")
    for entry in _entries(passwd):
        if entry.uid == number if number is not None else entry.name == who:
            return entry
    if number is None:
        raise UnfitError(f"cannot find user {who[:100]!r}: the image's /etc/passwd has none of that name")
    return _Entry("", number, 0, "/")


def _gid(of: str, group: str) -> int:
    number = _number(of)
    if number is not None:
        return number
    for name, gid, _members in _group_entries(group):
        if name == of:
            return gid
    raise UnfitError(f"cannot find group {of[:100]!r}: the image's /etc/group has none of that name")


def _groups_of(name: str, group: str) -> tuple[int, ...]:
    return tuple(gid for _name, gid, members in _group_entries(group) if name and name in members)


def _number(text: str) -> int | None:
    """The id that `text` is, None when it is a name. ASCII digits only: Python's int() takes much more."""
    if not re.fullmatch(r"[-+]?[0-9]+", text, re.ASCII):
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or int(text) > HIGHEST_ID:
        raise UnfitError(f"cannot use id {text[:40]!r}: ids go from 0 to {HIGHEST_ID}")
    return int(text)


def _entries(passwd: str) -> Iterator[_Entry]:
    for fields in _lines(passwd, 7):
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is not None and gid is not None:
            yield _Entry(fields[0], uid, gid, fields[5] or "/")


def _group_entries(group: str) -> Iterator[tuple[str, int, list[str]]]:
    for fields in _lines(group, 4):
        gid = _id(fields[2])
        if gid is not None:
            yield fields[0], gid, fields[3].split(",")


def _lines(text: str, count: int) -> Iterator[list[str]]:
    return (fields for line in text.split("\n") if len(fields := line.rstrip("\r").split(":")) == count and fields[0])


def _id(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) and int(text) <= HIGHEST_ID else None


def rlimits(hard: Mapping[str, int]) -> Iterable[tuple[str, int, int]]:
    """(type, soft, hard) for every limit that a process would else inherit from the daemon, none above `hard`.

    `hard` are the daemon's own: without CAP_SYS_RESOURCE nobody can go beyond them. -1 is unlimited.
    """
    for kind, soft, most in RLIMITS:
        top = min(most, _unlimited(hard.get(kind, -1)))
        yield kind, min(soft, top), top


def _unlimited(value: int) -> int:
    return INFINITY if value < 0 else value


INFINITY = 2**64 - 1
RLIMITS = (
    ("RLIMIT_AS", INFINITY, INFINITY),
    ("RLIMIT_CORE", 0, INFINITY),
    ("RLIMIT_CPU", INFINITY, INFINITY),
    ("RLIMIT_DATA", INFINITY, INFINITY),
    ("RLIMIT_FSIZE", INFINITY, INFINITY),
    ("RLIMIT_MEMLOCK", 8 * 2**20, 8 * 2**20),
    ("RLIMIT_NOFILE", 1024, 524288),
    ("RLIMIT_NPROC", INFINITY, INFINITY),
    ("RLIMIT_RSS", INFINITY, INFINITY),
    ("RLIMIT_STACK", 8 * 2**20, INFINITY),
)
