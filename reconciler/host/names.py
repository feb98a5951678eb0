"""Names of containers: the port Names on dnsmasq, one per resolver, and files of records that it notices by itself.

A resolver detaches itself, runs as a user that may do nothing, and is moved to where no restart of the daemon reaches
it. Records are one small file per container, in the format of /etc/hosts, in a folder per network that dnsmasq
watches. Which resolvers and records there are is decided in `core.dns`.
"""

from __future__ import annotations

import grp
import pwd
import shutil
import stat
import threading
from contextlib import suppress
from pathlib import Path

from reconciler.core.dns import arguments, fingerprint
from reconciler.core.networking import Pairs, Resolver
from reconciler.errors import HostError
from reconciler.host import resolvers
from reconciler.host.cgroups import Cgroups
from reconciler.host.files import replace
from reconciler.host.lookup import Lookup
from reconciler.host.resolvers import PROGRAM, Places
from reconciler.host.run import run
from reconciler.host.sockets import owners
from reconciler.settings import Settings

_START_TIMEOUT = 10.0
_LOG = Path("/dev/log")  # where it hangs nobody may be held up; where there is none, dnsmasq would wait for it to come
_USERS = ("dnsmasq", "nobody")


class DnsmasqNames:
    """The port Names. Calls for different resolvers and networks may run beside each other."""

    def __init__(self, settings: Settings, cgroups: Cgroups, lookup: Lookup) -> None:
        self._places = Places(settings.run)
        self._cgroups = cgroups
        self._lookup = lookup
        self._lock = threading.Lock()  # of which folders there are

    def serve(self, resolver: Resolver) -> None:
        """Start the resolver; one of that name that runs otherwise is replaced. It outlives the daemon.

        It answers when this returns: dnsmasq detaches itself once its sockets are bound.
        """
        pid_file = self._places.pid_file(resolver.name, fingerprint(resolver))
        folders = [self._folder(network) for network in resolver.networks]
        self.stop_only(resolver.name)
        user = _user()
        check_reachable(self._places.records, user)
        argv = [
            *(PROGRAM, *arguments(resolver), f"--pid-file={pid_file}"),
            *(["--log-async=5"] if _LOG.exists() else []),
            *(f"--user={user.pw_name}", f"--group={grp.getgrgid(user.pw_gid).gr_name}"),
            *(f"--hostsdir={folder}" for folder in folders),
        ]
        self._start(resolver, argv)
        if served := resolvers.read(pid_file):
            self._cgroups.adopt_monitor(served.process.pid)

    def _start(self, resolver: Resolver, argv: list[str]) -> None:
        try:
            run(argv, timeout=_START_TIMEOUT)
        except HostError as error:
            if "Address already in use" not in str(error):
                raise HostError(f"cannot serve names on {resolver.bridge}: {error}") from error
            if not self._end_strays(resolver):
                raise HostError(_taken(resolver)) from error
            run(argv, timeout=_START_TIMEOUT)

    def _end_strays(self, resolver: Resolver) -> bool:
        """End resolvers of ours that nobody remembers, as somebody took their pid file away; whether there were any."""
        ours = f"--pid-file={self._places.folder}/"
        strays = [
            owner.process
            for owner in owners(resolver.port, resolver.addresses)
            if any(word.startswith(ours) for word in resolvers.command_line(owner.process.pid))
        ]
        for stray in strays:
            resolvers.end(stray)
        return bool(strays)

    def stop(self, name: str) -> None:
        """End the resolver of that name, and drop the records of the network that has that name."""
        self.stop_only(name)
        with self._lock:
            shutil.rmtree(self._places.records / name, ignore_errors=True)

    def stop_only(self, name: str) -> None:
        """End the resolver of that name."""
        for pid_file in resolvers.pid_files(self._places):
            if pid_file.name.rpartition("@")[0] == name:
                if served := resolvers.read(pid_file):
                    resolvers.end(served.process)
                pid_file.unlink(missing_ok=True)

    def write(self, network: str, hosts: Pairs) -> None:
        """Put these records in force, file name and text, and no others; running resolvers notice by themselves."""
        folder, wanted = self._folder(network), dict(hosts)
        try:
            for path in folder.iterdir():
                if path.name not in wanted or not path.is_file():
                    _remove(path)
            for name, text in wanted.items():
                if not _has(folder / name, text):
                    replace(folder / name, text, 0o644)
        except OSError as error:
            raise HostError(
                f"cannot write the names of network {network}: {error.filename}: {error.strerror}"
            ) from error

    def resolve(self, names: tuple[str, ...]) -> None:
        """Ask the host's resolvers for the addresses of outside names; the last known ones stay when nobody answers."""
        self._lookup.resolve(names)

    def _folder(self, network: str) -> Path:
        """The folder of a network's records. A resolver still watches the one that somebody took away, so it ends."""
        folder = self._places.records / network
        with self._lock:
            if not folder.is_dir():
                folder.mkdir(mode=0o755, parents=True)
                for made in (self._places.run, self._places.folder, self._places.records, folder):
                    made.chmod(made.stat().st_mode | 0o055)  # whatever the daemon's umask
                for served in resolvers.watching(self._places, network):
                    resolvers.end(served.process)
        return folder


def _has(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except (OSError, UnicodeDecodeError):
        return False


def _remove(path: Path) -> None:
    """What nobody asked for; a folder that somebody put there too."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _user() -> pwd.struct_passwd:
    for name in _USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise HostError(f"cannot serve names: there is no user {' or '.join(_USERS)} for dnsmasq to run as; add one")


def check_reachable(folder: Path, user: pwd.struct_passwd) -> None:
    """Raise HostError unless `user` can get to `folder`; the bits for others decide, as it owns nothing."""
    for path in (folder, *folder.parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            raise HostError(
                f"cannot serve names: dnsmasq runs as {user.pw_name} and cannot enter {path}; chmod o+x {path}"
            )


def _taken(resolver: Resolver) -> str:
    where = f"port {resolver.port} of {', '.join(resolver.addresses)}"
    found = owners(resolver.port, resolver.addresses)
    if not found:
        return f"cannot serve names on {resolver.bridge}: {where} is taken by a process that cannot be seen"
    owner = found[0]
    return (
        f"cannot serve names on {resolver.bridge}: {where} is taken by {owner.program} (process {owner.process.pid}), "
        f"which listens on {owner.address}; have it listen on its own addresses only "
        "(bind-interfaces in dnsmasq, interface in unbound, listen-on in bind)"
    )
