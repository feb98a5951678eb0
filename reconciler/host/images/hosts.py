"""Where a registry's images are really fetched: mirrors first, then the registry itself, each with its own trust.

Mirrors come from our own setting (`HOST=URL`) and from containerd's folder, `HOST/hosts.toml`; certificates may lie in
that folder as Docker lays them (`*.crt`, `NAME.cert` with `NAME.key`). Source: containerd docs/hosts.md. Pure but for
reading those files; called by `store`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.core.reference import HUB
from reconciler.errors import HostError

FILE_LIMIT = 1 << 20
_HUB_HOST = "registry-1.docker.io"
_HOST_PORT = re.compile(r"_([0-9]+)_$")  # where a file name can have no colon


@dataclass(frozen=True, slots=True)
class Trust:
    """How a host proves itself, and how we do. Files are PEM."""

    verify: bool = True
    authorities: tuple[Path, ...] = ()
    client: tuple[Path, Path | None] | None = None  # certificate and key, or both in one


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask. `base` ends where the repository begins; "" when only the host is known.

    `mirrors` is the registry that it stands for, "" when it is that registry itself. One that cannot `resolve` is
    asked for digests only, never what a tag means.
    """

    host: str
    base: str = ""
    mirrors: str = ""
    resolve: bool = True
    trust: Trust | None = None


def endpoints(host: str, mirrors: Iterable[str], folder: Path) -> tuple[Endpoint, ...]:
    """Where to ask for images of the registry `host`, in this order. Raises HostError."""
    own = [_mirror(url, host) for name, _, url in (item.partition("=") for item in mirrors) if name == host]
    return (*own, *_in_folder(host, folder))


def named(mirrors: Iterable[str], folder: Path) -> tuple[str, ...]:
    """The registries that have mirrors or certificates of their own."""
    found = {item.partition("=")[0] for item in mirrors}
    try:
        names = [place.name for place in folder.iterdir() if place.is_dir() and place.name != "_default"]
    except OSError:  # most hosts have no such folder
        names = []
    return tuple(sorted(found | {_HOST_PORT.sub(r":\1", name) for name in names}))


def _mirror(url: str, host: str) -> Endpoint:
    if "://" not in url:
        return Endpoint(url, mirrors=host)
    parts = urlsplit(url)
    return Endpoint(parts.netloc, f"{url.rstrip('/')}/v2", mirrors=host)


def _in_folder(host: str, folder: Path) -> tuple[Endpoint, ...]:
    itself = Endpoint(_HUB_HOST if host == HUB else host)
    for name in (host, host.replace(":", "_") + "_" if ":" in host else host, "_default"):
        place = folder / name
        try:
            if (place / "hosts.toml").is_file():
                with (place / "hosts.toml").open("rb") as file:
                    return parse_hosts(file.read(FILE_LIMIT), host, place)
            if place.is_dir() and name != "_default":
                trust = laid_certificates(sorted(place.iterdir()))
                return (Endpoint(itself.host, trust=trust),)
        except (OSError, ValueError) as error:
            raise HostError(f"cannot read {place}: {getattr(error, 'strerror', None) or error}") from None
    return (itself,)


def laid_certificates(files: Sequence[Path]) -> Trust:
    """Trust as Docker's certs.d says it. Raises ValueError for half a pair."""
    client = next((path for path in files if path.suffix == ".cert"), None)
    if client is not None and client.with_suffix(".key") not in files:
        raise ValueError(f"{client.name} has no {client.with_suffix('.key').name} beside it")
    return Trust(
        authorities=tuple(path for path in files if path.suffix == ".crt"),
        client=(client, client.with_suffix(".key")) if client else None,
    )


# --- hosts.toml ----------------------------------------------------------------------------------------------------


def parse_hosts(text: bytes, host: str, place: Path) -> tuple[Endpoint, ...]:
    """The endpoints of one hosts.toml in `place`. Raises ValueError."""
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"it is not TOML: {str(error)[:80]}") from None
    listed = document.get("host", {})
    if not isinstance(listed, dict):
        raise ValueError("host is not a table")
    found = [_endpoint(url, _table(value, url), host, place) for url, value in listed.items()]
    server = document.get("server") or f"https://{_HUB_HOST if host == HUB else host}"
    last = _endpoint(str(server), {**document, "capabilities": ["pull", "resolve"]}, host, place)
    return (*(endpoint for endpoint in found if endpoint is not None), *((last,) if last else ()))


def _table(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a table")
    return value


def _endpoint(url: str, table: Mapping[str, object], host: str, place: Path) -> Endpoint | None:
    full = url if "://" in url else f"https://{url}"
    parts = urlsplit(full)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{url[:80]!r} is not a web address")
    abilities = _texts(table.get("capabilities", ["pull", "resolve"]), "capabilities")
    if "pull" not in abilities:
        return None
    itself = parts.netloc == (_HUB_HOST if host == HUB else host)
    base = full.rstrip("/") if table.get("override_path") is True else f"{full.rstrip('/')}/v2"
    return Endpoint(parts.netloc, base, "" if itself else host, "resolve" in abilities, _trust(table, place))


def _trust(table: Mapping[str, object], place: Path) -> Trust | None:
    if not {"ca", "client", "skip_verify"} & table.keys():
        return None
    client = table.get("client")
    pairs = [_pair(item, place) for item in (client if isinstance(client, list) else [client] if client else [])]
    return Trust(
        verify=table.get("skip_verify") is not True,
        authorities=tuple(place / name for name in _texts(table.get("ca", []), "ca")),
        client=pairs[0] if pairs else None,
    )


def _pair(value: object, place: Path) -> tuple[Path, Path | None]:
    names = _texts(value, "client")
    if not 1 <= len(names) <= 2:
        raise ValueError("client is not a certificate and its key")
    return place / names[0], place / names[1] if len(names) == 2 and names[1] else None


def _texts(value: object, name: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
        raise ValueError(f"{name} is not text")
    return texts
