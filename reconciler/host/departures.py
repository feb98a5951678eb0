"""Links that go: out of the way at once, deleted in the background.

The kernel lets whoever deletes a link wait some 30 ms until every processor has forgotten it (an RCU grace period).
So a link that must go is set down and renamed, after which its name and address are free, and a thread deletes it.
What a killed daemon left behind is deleted by the next sweep, and a VLAN that was
made as a parent with the last container that stood on it. Used by `networks` and `interfaces`.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from reconciler.host import rtnetlink
from reconciler.host.aliases import departed_alias, parent_alias, parse_container
from reconciler.host.namespaces import is_pinned, pinned, visit
from reconciler.host.netlink import Netlink, if_there
from reconciler.host.rtnetlink import Link

_LINGER = 1.0  # seconds; the kernel takes about 0.1 to delete the links of a namespace that nobody holds


class Departures:
    """What is to go of one instance, whose containers' namespaces are kept in the folder `pins`."""

    def __init__(self, instance: str, pins: Path) -> None:
        self._instance = instance
        self._pins = pins
        self._lock = threading.Lock()
        self._sweeping = False
        self._again = False
        self._leaving: set[str] = set()
        self._left: set[str] = set()

    def retire(self, host: Netlink, *links: Link) -> None:
        """Take the links out of the way, and have them deleted soon."""
        alias = departed_alias(self._instance)
        for link in links:
            with if_there():
                host.change(rtnetlink.set_down(link.name), rtnetlink.rename(link.index, f"rc~{link.index}", alias))
        if links:
            self.sweep()

    def later(self, id: str) -> None:
        """Delete the links of a container that left, if they are still there after a while.

        The kernel deletes them together with the namespace, but a process may hold that for long.
        """
        with self._lock:
            self._leaving.add(id)
            if len(self._leaving) > 1:
                return
        timer = threading.Timer(_LINGER, self._linger)
        timer.daemon = True
        timer.start()

    def sweep(self) -> None:
        """Begin to delete what has departed. The thread belongs to this thread's network namespace."""
        with self._lock:
            self._again = True
            if self._sweeping:
                return
            self._sweeping = True
        # Workers end with the program, whatever they do, and their threads would too; what departs is to be gone then.
        threading.Thread(target=self._sweep, name="departures", daemon=False).start()

    def _linger(self) -> None:
        with self._lock:
            self._left |= self._leaving
            self._leaving = set()
        self.sweep()

    def _sweep(self) -> None:
        while self._more():
            with suppress(OSError), Netlink() as host:
                for link in self._departed(host):
                    with suppress(OSError):  # somebody else was faster, or the kernel is short of memory
                        host.change(rtnetlink.delete_link_at(link.index))

    def _more(self) -> bool:
        with self._lock:
            self._sweeping, self._again = self._again, False
            return self._sweeping

    def _departed(self, host: Netlink) -> list[Link]:
        with self._lock:
            left, self._left = self._left, set()
        links = _links(host)
        parents = [link for link in links if link.alias == parent_alias(self._instance)]
        return [*(link for link in links if self._departs(link, left)), *self._unused(parents)]

    def _departs(self, link: Link, left: set[str]) -> bool:
        if link.alias == departed_alias(self._instance):
            return True
        container = parse_container(self._instance, link.alias)
        return container is not None and container[0] in left and not is_pinned(self._pins / container[0])

    def _unused(self, parents: list[Link]) -> list[Link]:
        """Those on which nothing stands in any container's namespace."""
        if not parents:
            return []
        pins = {name: self._pins / name for name in pinned(self._pins)}
        seen = visit(pins, _links)
        bases = {link.peer for links in seen.values() for link in links if link.kind in {"macvlan", "ipvlan"}}
        whole = len(seen) == len(pins)  # else one that was not seen may need any of them
        return [parent for parent in parents if whole and parent.index not in bases]


def _links(netlink: Netlink) -> list[Link]:
    return [rtnetlink.parse_link(body) for body in netlink.dump(rtnetlink.GETLINK, rtnetlink.ALL_LINKS)]
