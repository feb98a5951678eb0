"""Our one nftables table: the port Firewall, and the question whether it is still what we put there.

`nft` replaces the table in one transaction. What it replaced it with is remembered below `settings.run`, as three
short values: the digest of the text, the kernel's fingerprint of the table, and the generation at which both
belonged together. A look at an unchanged generation is one netlink message; a changed one, as other programs have
tables too, compares the fingerprint. No look starts a process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from reconciler.core.model import digest
from reconciler.core.ruleset import Target, datagrams
from reconciler.host.conntrack import forget_port, forget_replica
from reconciler.host.netlink import NETFILTER, Netlink, saying
from reconciler.host.nftables import fingerprint, generation
from reconciler.host.run import run
from reconciler.settings import Settings


@dataclass(frozen=True, slots=True)
class _Applied:
    text: str = ""  # digest
    table: str = ""  # fingerprint
    generation: int = -1


class Nftables:
    """The port Firewall. `apply` and `remove` are called by one thread at a time, `look` by any."""

    def __init__(self, settings: Settings) -> None:
        self._table = settings.instance
        self._record = settings.run / "firewall.json"
        self._applied = self._remembered()
        self._datagrams: Mapping[int, frozenset[Target]] = {}

    def apply(self, text: str) -> None:
        """Replace the table in one transaction.

        When somebody else changes rules in the same moment it is not recorded as applied: then nobody can say
        whose table it is, and the next look leads to another try.
        """
        self._remember(_Applied())
        with saying("apply the ruleset"), Netlink(NETFILTER) as kernel:
            before = generation(kernel)
            run(["nft", "-f", "-"], input=text)
            table, now = fingerprint(kernel, self._table), generation(kernel)
            if now == before + 1:
                self._remember(_Applied(digest(text), table, now))
            self._forget_flows(kernel, datagrams(text))

    def _forget_flows(self, kernel: Netlink, published: Mapping[int, frozenset[Target]]) -> None:
        """UDP flows to replicas that are gone, and to ports that nobody answered before."""
        earlier, self._datagrams = self._datagrams, published
        for address, port in frozenset().union(*earlier.values()) - frozenset().union(*published.values()):
            forget_replica(kernel, address, port)
        for port in published.keys() - earlier.keys():
            forget_port(kernel, port)

    def remove(self) -> None:
        """Delete the table; well if it is gone already."""
        self._remember(_Applied())
        run(["nft", "-f", "-"], input=f"table inet {self._table}\ndelete table inet {self._table}\n")

    def look(self) -> str:
        """The digest of the text in force, "" when the table is missing or is not as we left it."""
        applied = self._applied
        with saying("look at the ruleset"), Netlink(NETFILTER) as kernel:
            now = generation(kernel)
            if now == applied.generation:
                return applied.text
            if not applied.table or fingerprint(kernel, self._table) != applied.table:
                return ""
            if generation(kernel) == now:
                self._remember(_Applied(applied.text, applied.table, now))
        return applied.text

    def _remembered(self) -> _Applied:
        """What an earlier daemon left. Its generation is not trusted: it may be of before a reboot."""
        try:
            record = json.loads(self._record.read_bytes())
            return _Applied(str(record["text"]), str(record["table"]))
        except (OSError, ValueError, TypeError, KeyError):
            return _Applied()

    def _remember(self, applied: _Applied) -> None:
        self._applied = applied
        with saying(f"remember the ruleset in {self._record}"):
            self._record.parent.mkdir(parents=True, exist_ok=True)
            part = self._record.with_suffix(".part")
            part.write_text(json.dumps(asdict(applied)))
            part.replace(self._record)
