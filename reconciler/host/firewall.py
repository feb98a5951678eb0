"""Our nftables tables: the port Firewall, and the question whether they are still what we put there.

`nft` replaces them in one transaction; where only elements of its sets differ, the daemon changes those itself, in
one transaction too, which the kernel refuses when anybody has changed a rule meanwhile. What is in force is
remembered below `settings.run`: the digest of the text, and the kernel's fingerprint of the table. A look is one
netlink message while no ruleset of the host changed; when one did, as other programs have tables too, it compares
the fingerprint. No look starts a process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from reconciler.core.model import digest
from reconciler.core.ruleset import Target, datagram_limits, datagrams, table_name
from reconciler.host.conntrack import forget_port, forget_replica
from reconciler.host.elements import changed, difference
from reconciler.host.guard import Guard
from reconciler.host.netlink import NETFILTER, Message, Netlink, saying
from reconciler.host.nftables import Parts, Place, contents, fingerprint, generation, transact
from reconciler.host.run import run
from reconciler.settings import Settings


@dataclass(frozen=True, slots=True)
class _Applied:
    """Of the text the digest, of the tables the fingerprint: they belong together."""

    text: str = ""
    table: str = ""


class Nftables:
    """The port Firewall. `apply` and `remove` are called by one thread at a time; `look` may run beside them.

    Its sockets stay open: the kernel closes one only when everything that was deleted meanwhile is gone, which takes
    10 ms. They belong to the network namespace of the thread that makes it.
    """

    def __init__(self, settings: Settings) -> None:
        self._table = table_name(settings.instance)
        self._guard = Guard(settings.instance, settings.packet_mark)
        self._record = settings.run / "firewall.json"
        self._lock, self._looks = threading.Lock(), threading.Lock()
        self._changing, self._looking = Netlink(NETFILTER), Netlink(NETFILTER)
        self._applied = self._remembered()
        self._generation = -1  # at which the table was last seen to be as applied; not of before a reboot
        self._parts: Parts = {}  # of the tables when their fingerprint was made
        self._changed: frozenset[Place] | None = None  # sets that were changed here since, None for everything
        self._text = ""  # in force, if nobody has changed it since; not of an earlier daemon
        self._datagrams: Mapping[int, frozenset[Target]] = {}
        self._limits: Mapping[int, frozenset[str]] = {}

    def apply(self, text: str) -> None:
        """Replace the tables in one transaction.

        When somebody else changes rules in the same moment it is not known as applied: then nobody can say whose
        tables they are, and the next look leads to another try. The next look also makes the fingerprint, so that a
        change of one element does not wait until thousands have been read.
        """
        changes, trusted = self._difference(text), self._generation
        sets = changed(self._text, text) if changes else None
        with self._lock:
            self._changed = self._changed | sets if self._changed is not None and sets is not None else None
        self._text = ""
        self._remember(_Applied())
        with saying("apply the ruleset"):
            before = generation(self._changing)
            if not (changes and _transacted(self._changing, changes, trusted)):
                with self._lock:
                    self._changed = None
                run(["nft", "-f", "-"], input=text)
            self._text = text
            now = generation(self._changing)
            if now == before + 1:
                self._remember(_Applied(digest(text)), now)
            self._forget_flows(text)

    def _difference(self, text: str) -> tuple[Message, ...] | None:
        """The few elements that differ from tables that are as they were left here."""
        if not self._text:
            return None
        with saying("look at the ruleset"):
            untouched = generation(self._changing) == self._generation
        if not untouched and self.look() != digest(self._text):
            return None
        return difference(self._text, text)

    def _forget_flows(self, text: str) -> None:
        """UDP flows to replicas that are gone, to ports that nobody answered before, or that others may send to now."""
        earlier, self._datagrams = self._datagrams, datagrams(text)
        limited, self._limits = self._limits, datagram_limits(text)
        published = self._datagrams
        for address, port in frozenset().union(*earlier.values()) - frozenset().union(*published.values()):
            forget_replica(self._changing, address, port)
        changed = {port for port in published if limited.get(port) != self._limits.get(port)}
        for port in (published.keys() - earlier.keys()) | changed:
            forget_port(self._changing, port)

    def remove(self) -> None:
        """Delete the tables; well if they are gone already."""
        self._text = ""
        self._remember(_Applied())
        tables = (f"table {family} {self._table}\n" for family in ("inet", "bridge"))
        run(["nft", "-f", "-"], input="".join(f"{table}delete {table}" for table in tables))

    def close(self) -> None:
        """Give the sockets back; everything stays in force."""
        self._changing.close()
        self._looking.close()

    def guard(self, subnets: tuple[str, ...]) -> None:
        """Have routing refuse what is forwarded from or to `subnets` and not marked by our table; no others."""
        self._guard.put(subnets)

    def guarded(self) -> tuple[str, ...]:
        """The subnets that are guarded now, as networks in order."""
        return self._guard.look()

    def look(self) -> str:
        """The digest of the text in force, "" when a table is missing or is not as we left it."""
        with self._looks, saying("look at the ruleset"):
            with self._lock:
                applied, trusted, sets = self._applied, self._generation, self._changed
            now = generation(self._looking)
            fresh = now == trusted
            if fresh and bool(applied.text) == bool(applied.table):
                return applied.text
            if not fresh and not applied.table:
                return ""
            known = self._parts if fresh and sets is not None else None
            parts = contents(self._looking, self._table, known, sets or ())
            unchanged = generation(self._looking) == now
        table = fingerprint(parts)
        if not fresh and table != applied.table:
            return ""
        if unchanged:
            self._remember(_Applied(applied.text, table), now, instead=applied, parts=parts)
        return applied.text

    def _remembered(self) -> _Applied:
        """What an earlier daemon left."""
        try:
            record = json.loads(self._record.read_bytes())
            return _Applied(str(record["text"]), str(record["table"]))
        except (OSError, ValueError, TypeError, KeyError):
            return _Applied()

    def _remember(
        self, applied: _Applied, generation: int = -1, instead: _Applied | None = None, parts: Parts | None = None
    ) -> None:
        """Keep it, unless an apply has put something else in the place of `instead` meanwhile."""
        with self._lock, saying(f"remember the ruleset in {self._record}"):
            if instead not in (None, self._applied):
                return
            if applied.table != self._applied.table:
                self._record.parent.mkdir(parents=True, exist_ok=True)
                part = self._record.with_suffix(".part")
                part.write_text(json.dumps(asdict(applied)))
                part.replace(self._record)
            self._applied, self._generation = applied, generation
            if parts is not None:
                self._parts, self._changed = parts, frozenset()


def _transacted(kernel: Netlink, changes: tuple[Message, ...], generation: int) -> bool:
    try:
        transact(kernel, changes, generation)
    except OSError:  # whatever it is, the whole table puts it right
        return False
    return True
