"""The port Networks on rtnetlink and network namespaces: what of a host joins containers to one another.

`bridges` makes networks, `interfaces` the links into containers, `cni` runs the plugins of those who bring their own;
here is where a container's namespace is kept: by a bind mount below `<run>/netns`, so that it outlives the daemon and
every run of the container. The kernel is the record of what exists; `observe.links` reads it back.
"""

from __future__ import annotations

from itertools import count

from reconciler.core.networking import Endpoint, Network
from reconciler.core.wiring import veth_name
from reconciler.host import bridges, rtnetlink, runs
from reconciler.host.cni import Plugins
from reconciler.host.departures import Departures
from reconciler.host.ingress import keep_loopback
from reconciler.host.interfaces import Wiring
from reconciler.host.namespaces import is_pinned, opened, pin_again, unpin
from reconciler.host.netlink import Netlink, if_there, saying
from reconciler.settings import Settings

_AT_ONCE = 4  # hardly a container has more interfaces


class BridgeNetworks:
    """The port Networks. Each call has sockets of its own, so calls may run beside each other."""

    def __init__(self, settings: Settings) -> None:
        self._instance, self._mark = settings.instance, settings.packet_mark
        self._pins = settings.run / runs.NAMESPACES
        self._runs = settings.run / runs.FOLDER
        self._plugins = Plugins(settings)
        self._departures = Departures(settings.instance, self._pins)

    def sweep(self) -> None:
        """Begin to delete what an earlier daemon had begun to."""
        self._departures.sweep()

    def create(self, network: Network, bridge: str, subnets: tuple[str, str], extra: tuple[str, ...] = ()) -> None:
        """Make or complete the bridge, with these addresses of the host in it, up and marked as ours.

        Also switches forwarding on, and lets the bridge carry the loopback's addresses, which publishing on
        127.0.0.1 needs; what a container sends there by itself, the ruleset drops, and a filter while that is missing.
        """
        with saying(f"create network {network.name}"), Netlink() as host:
            index = bridges.put(host, self._instance, network, bridge, (*subnets, *extra))
            if subnets[0]:
                keep_loopback(host, index, self._mark)

    def remove(self, name: str, bridge: str) -> None:
        """Take the bridge away; well if it is gone already. The name is free at once, the kernel takes its time."""
        with saying(f"remove network {name}"), Netlink() as host:
            found = host.ask_each(rtnetlink.get_link(bridge))
            self._departures.retire(host, *(rtnetlink.parse_link(body) for body in found if body))

    def connect(self, id: str, endpoints: tuple[Endpoint, ...]) -> None:
        """Pin the container's namespace and join it to its networks; repairs what is not as it should be."""
        with saying(f"connect container {id[:12]}"), Netlink() as host:
            fresh = not (is_pinned(self._pins / id) or self._recover(id))
            with opened(self._pins / id, fresh) as namespace:
                Wiring(self._instance, id, host, namespace, self._departures).connect(endpoints)
                for endpoint in endpoints:
                    if endpoint.network.driver == "cni":
                        self._plugins.connect(id, endpoint, self._pins / id, namespace.fresh)

    def disconnect(self, id: str) -> None:
        """Let namespace and links go.

        The kernel deletes both in the background as soon as nobody holds the namespace. Until then the links are
        down, so that nobody answers to an address that may be given away again.
        """
        try:
            self._plugins.disconnect(id, self._pins / id)
        finally:
            with saying(f"disconnect container {id[:12]}"):
                with Netlink() as host:
                    self._silence(host, id)
                unpin(self._pins / id)
            self._departures.later(id)

    def _silence(self, host: Netlink, id: str) -> None:
        """Set the host's ends down. Nobody says how many there are, and any may be missing."""
        for first in count(0, _AT_ONCE):
            names = [veth_name(id, place) for place in range(first, first + _AT_ONCE)]
            links = host.ask_each(*map(rtnetlink.get_link, names))
            found = [name for name, link in zip(names, links, strict=True) if link]
            with if_there():
                host.change(*map(rtnetlink.set_down, found))
            if not found:
                return

    def _recover(self, id: str) -> bool:
        """Pin a running container's namespace again, for a new one would cut it off; whether there is one."""
        for number in reversed(runs.of_container(self._runs, id)):
            run = runs.read(self._runs / f"{id}-{number}")
            if run and runs.lives(run.init):
                return pin_again(self._pins / id, run.init.pid)
        return False
