"""The kinds of values in Compose's networking, as pydantic types: addresses, networks, names of hosts and links.

Each value comes out in one form, so that the same thing written otherwise is the same. What two values mean together,
such as an address and its subnet, stands in `networks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from reconciler.core.networking import Pairs
from reconciler.spec import forms
from reconciler.spec.forms import FormError

Subnetwork = IPv4Network | IPv6Network

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}", re.ASCII)
_LINK = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)
_SYSCTL = re.compile(r"[a-z0-9_]+(?:\.[A-Za-z0-9_@-]+)+", re.ASCII)
_RESOLVER_OPTION = re.compile(r"[a-z0-9-]+(?::[0-9]{1,5})?", re.ASCII)
_KERNEL: Final = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
)  # fmt: skip
_INSTEAD: Final = {"kernel.hostname": "write 'hostname' instead", "kernel.domainname": "write 'domainname' instead"}


def address(value: str) -> str:
    """An address of one host, in its shortest form."""
    try:
        found = ip_address(value)
    except ValueError:
        raise FormError(f"'{value}' is no IP address") from None
    if found.version == 6 and (found.scope_id or found.ipv4_mapped):
        raise FormError(f"'{value}' must be a plain address, without a zone and not IPv4 in IPv6")
    return str(found)


def network(value: str) -> Subnetwork:
    """A network, or an address as the network that has nothing else in it."""
    try:
        found = ip_network(value, strict=False)
    except ValueError:
        raise FormError(f"'{value}' is no network; write one such as 10.0.0.0/8 or 2001:db8::/32") from None
    address(str(found.network_address))
    if str(found.network_address) != address(value.partition("/")[0]):
        raise FormError(f"'{value}' has bits behind its prefix; write {found}")
    return found


def host_name(value: str) -> str:
    """A name in the domain name system, in lower case, or of a host that stands in a file."""
    name = value.removesuffix(".").lower()
    if "*" in name:
        raise FormError(f"'{value}' is a pattern, and nobody can look that up; write each name")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise FormError(f"'{value}' is no name of a host; use letters, digits, '-' and '.'")
    if name.rpartition(".")[2].isdecimal():
        raise FormError(f"'{value}' is no IP address, and a name does not end in a number")
    return name


def _family(version: int) -> AfterValidator:
    def check(value: str) -> str:
        found = address(value)
        if ip_address(found).version != version:
            raise FormError(f"'{value}' is no IPv{version} address")
        return found

    return AfterValidator(check)


def _subnet(value: str) -> str:
    if "/" not in value:
        raise FormError(f"'{value}' is no network; write it with the length of its prefix, as in 172.28.0.0/16")
    return str(network(value))


def _host_ip(value: str) -> str:
    """Which addresses of the host. The kernel forwards nothing that came for ::1, unlike 127.0.0.1."""
    found = address(value)
    if found == "::1":
        raise FormError("Linux cannot forward what is sent to ::1; write 127.0.0.1, or no address for all")
    return found


def _mac(value: str) -> str:
    found = value.lower().replace("-", ":")
    if not _MAC.fullmatch(value.lower()):
        raise FormError(f"'{value}' is no MAC address; write one such as 02:42:ac:11:00:02")
    if int(found[:2], 16) & 1 or found == "00:00:00:00:00:00":
        raise FormError(f"'{value}' is not the address of one interface; its first byte must be even, as in 02")
    return found


def _link(value: str) -> str:
    if not _LINK.fullmatch(value) or value in ("lo", ".", "..", "all", "default"):
        raise FormError(f"'{value}' is no name of an interface; use letters, digits, '_', '.' and '-', at most 15")
    return value


def _search(value: str) -> str:
    return value if value == "." else host_name(value)


def _resolver_option(value: str) -> str:
    if not _RESOLVER_OPTION.fullmatch(value):
        raise FormError(f"'{value}' is no option of resolv.conf; write one such as ndots:2")
    return value


def _alias(value: str) -> str:
    if len(value) > 253 or not _NAME.fullmatch(value):
        raise FormError(f"'{value}' is no alias; use letters, digits, '_', '-' and '.'")
    return value


def _sysctl(value: str) -> str:
    """One of those that have a value for each container (runc: libcontainer/configs/validate)."""
    name = value if "." in value else value.replace("/", ".")
    if name in _INSTEAD:
        raise FormError(_INSTEAD[name])
    if not _SYSCTL.fullmatch(name):
        raise FormError(f"'{value}' is no kernel parameter; write one such as net.core.somaxconn")
    if name in _KERNEL or name.startswith(("net.", "fs.mqueue.")):
        return name
    near = get_close_matches(name, _KERNEL, 1, 0.8)
    advice = f"did you mean {near[0]}?" if near else "a container's own are net., fs.mqueue. and a few of kernel."
    raise FormError(f"'{value}' is one for the whole host; {advice}")


def _allow(value: tuple[str, ...]) -> tuple[str, ...]:
    """As few networks as say the same, in order, so that only another meaning is another value."""
    found = [network(item) for item in value]
    four = collapse_addresses([item for item in found if item.version == 4])
    six = collapse_addresses([item for item in found if item.version == 6])
    return tuple(str(item) for item in (*four, *six))


def _hosts(value: object) -> Pairs:
    """`NAME:ADDRESS` or `NAME=ADDRESS` items, or a mapping of names to an address or several, to pairs of both."""
    found: list[tuple[str, str]] = []
    for at, name, text in _host_entries(value):
        try:
            plain = text if text == "host-gateway" else address(text.removeprefix("[").removesuffix("]"))
            found.append((host_name(name), plain))
        except FormError as error:
            raise FormError(str(error), *at) from None
    return tuple(dict.fromkeys(found))


def _host_entries(value: object) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Where each stands, its name and its address."""
    if isinstance(value, dict):
        for name, item in value.items():
            for index, text in enumerate(item if isinstance(item, list) else [item]):
                at = (name, index) if isinstance(item, list) else (name,)
                yield at, name, _text(text, at)
        return
    if not isinstance(value, list | None):
        raise FormError("it must be a list or a mapping")
    for index, item in enumerate(value or ()):
        name, separator, text = re.sub("[=:]", "\0", _text(item, (index,)), count=1).partition("\0")
        if not separator:
            raise FormError("it must be a name and an address, as in name:10.0.0.1", index)
        yield (index,), name, text


def _text(value: object, at: tuple[str | int, ...]) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise FormError("it must be a text", *at)
    return value


def _sysctls(value: object) -> Pairs:
    """In order of their names; each with a value."""
    found = forms.pairs(value)
    if not isinstance(found, dict):
        raise FormError("it must be a list or a mapping")
    parameters: dict[str, str] = {}
    for index, (name, given) in enumerate(found.items()):
        at = index if isinstance(value, list) else name
        text = forms.text(given)
        if not isinstance(text, str) or not text.isprintable():
            raise FormError("it needs a value, a text or a number", at)
        try:
            parameters[_sysctl(name)] = text
        except FormError as error:
            raise FormError(str(error), at) from None
    return tuple(sorted(parameters.items()))


def _checked(value: str) -> str:
    network(value)
    return value


_LISTED: Final = BeforeValidator(forms.several, json_schema_input_type=str | list[str])

Address = Annotated[str, AfterValidator(address)]
IPv4 = Annotated[str, _family(4)]
IPv6 = Annotated[str, _family(6)]
HostIP = Annotated[str, AfterValidator(_host_ip)]
Subnet = Annotated[str, AfterValidator(_subnet)]
Mac = Annotated[str, AfterValidator(_mac)]
Link = Annotated[str, AfterValidator(_link)]
Alias = Annotated[str, AfterValidator(_alias)]
Allow = Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], AfterValidator(_allow)]
Exposed = Annotated[str, BeforeValidator(forms.exposed, json_schema_input_type=int | str)]
Hosts = Annotated[Pairs, PlainValidator(_hosts, json_schema_input_type=list[str] | dict[str, str | list[str]])]
Sysctls = Annotated[Pairs, PlainValidator(_sysctls, json_schema_input_type=list[str] | dict[str, str | int])]
Servers = Annotated[tuple[Address, ...], _LISTED]
Searches = Annotated[tuple[Annotated[str, AfterValidator(_search)], ...], _LISTED]
ResolverOptions = Annotated[tuple[Annotated[str, AfterValidator(_resolver_option)], ...], _LISTED]
