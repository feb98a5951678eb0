"""The rules of our tables: what of the ruleset is the same on every host, whatever it publishes.

Text as `nft -f` takes it; `ruleset` writes the sets and maps on which all of them decide. Priorities are numbers: nft
before 1.0.7 takes no names in the output hook. Those of the nat chains come just before the usual -100 and 100, so a
port that is ours does not fall to an older rule. What is asked of the address that a client meant is asked before
them, and what is asked of the one that it is led to, after.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

USUAL = 8  # replicas behind one port for which the chains always stand ready


def inet(mark: int, widths: Iterable[int]) -> str:
    """The chains of the inet table. `mark` is the bit by which routing knows that a packet has passed this table.

    `widths` says of how many replicas published ports consist.
    """
    return _inet(mark, frozenset({*range(1, USUAL + 1), *widths}))


@lru_cache(maxsize=4)
def _inet(mark: int, widths: frozenset[int]) -> str:
    among = (_among(width, at) for width in sorted(widths) for at in ("", "_at"))
    return _INET.replace("MARK", f"{mark:#x}") + "\n" + "\n".join(among)


def _among(width: int, at: str) -> str:
    """Any replica is as likely as another: a turn, which ports of the same width would share, favours some."""
    rules = ""
    for version, protocol in ((4, "ip"), (6, "ip6")):
        place = f"meta l4proto . th dport . numgen random mod {width} map @replicas{version}{at}"
        address = f"{protocol} daddr . " if at else ""
        match = f"meta nfproto ipv{version} meta l4proto {{ tcp, udp }}"
        rules += f"\t\t{match} dnat {protocol} to {address}{place}\n"
    return f"\tchain among_{width}{at} {{\n{rules}\t}}\n"


_INET = """\
	# What claims to come to or from an address that cannot be there.
	chain spoofed {
		type filter hook prerouting priority -150; policy accept;
		iifname != "lo" ip daddr 127.0.0.0/8 drop
		iifname @bridges ct state new fib saddr . iif oif missing drop
	}

	# Every packet of a connection that somebody opens, not only its first: who is no longer allowed is cut off. A
	# network's resolver is for those who are in it: it knows their names, and may ask others outside.
	chain asking {
		type filter hook prerouting priority -110; policy accept;
		iifname @bridges ip saddr . ip daddr @same4 fib daddr type local th dport 53 accept
		iifname @bridges ip6 saddr . ip6 daddr @same6 fib daddr type local th dport 53 accept
		iifname @bridges ip daddr . ip daddr @same4 fib daddr type local th dport 53 drop
		iifname @bridges ip6 daddr . ip6 daddr @same6 fib daddr type local th dport 53 drop
		ct direction original jump limiting
		iifname @bridges ip saddr @restricted4 goto restricting
		iifname @bridges ip6 saddr @restricted6 goto restricting
	}

	chain asking_from_here {
		type filter hook output priority -110; policy accept;
		ct direction original jump limiting
	}

	# Published ports that only some may connect to; a port of one address says for itself who may.
	chain limiting {
		ip daddr . meta l4proto . th dport vmap @limited4_at
		ip6 daddr . meta l4proto . th dport vmap @limited6_at
		meta nfproto ipv4 meta l4proto . th dport @limited4 fib daddr type local goto limited
		meta nfproto ipv6 meta l4proto . th dport @limited6 fib daddr type local goto limited
	}

	chain limited {
		ip saddr . meta l4proto . th dport @allowed4 return
		ip6 saddr . meta l4proto . th dport @allowed6 return
		drop
	}

	chain limited_at {
		ip saddr . ip daddr . meta l4proto . th dport @allowed4_at return
		ip6 saddr . ip6 daddr . meta l4proto . th dport @allowed6_at return
		drop
	}

	# Containers that may connect to some places only. What is neither theirs to open nor an answer is dropped, also
	# what belongs to no connection; neighbours, which a bridge joins without asking here, count as reachable.
	chain restricting {
		ct direction reply accept
		meta l4proto icmpv6 ct state untracked fib daddr type { local, multicast } accept
		ip saddr . ip daddr @same4 fib daddr type unicast accept
		ip6 saddr . ip6 daddr @same6 fib daddr type unicast accept
		ip saddr . ip daddr . meta l4proto . th dport @reachable4 accept
		ip6 saddr . ip6 daddr . meta l4proto . th dport @reachable6 accept
		drop
	}

	# What gives a packet something (a replica, the mark, an address of the host) is asked twice in a row. While a table
	# or an element is replaced, a packet may pass the new one just before it counts and the old one when it no longer
	# does; by the second time the new one counts.
	chain arriving {
		type nat hook prerouting priority -105; policy accept;
		goto arrived
	}

	chain arriving_again {
		type nat hook prerouting priority -104; policy accept;
		goto arrived
	}

	# A resolver of the network that somebody is in is never taken for a published port.
	chain arrived {
		iifname @bridges ip saddr . ip daddr @same4 fib daddr type local th dport 53 accept
		iifname @bridges ip6 saddr . ip6 daddr @same6 fib daddr type local th dport 53 accept
		fib daddr type local jump publish
	}

	chain leaving {
		type nat hook output priority -105; policy accept;
		fib daddr type local jump publish
	}

	chain leaving_again {
		type nat hook output priority -104; policy accept;
		fib daddr type local jump publish
	}

	# From ::1 and link-local addresses no packet can be led elsewhere; there a client is refused at once.
	chain publish {
		ip6 daddr { ::1, fe80::/10 } return
		ip daddr . meta l4proto . th dport vmap @doors4_at
		ip6 daddr . meta l4proto . th dport vmap @doors6_at
		meta nfproto ipv4 meta l4proto . th dport vmap @doors4
		meta nfproto ipv6 meta l4proto . th dport vmap @doors6
	}

	# Routing refuses what goes from or to a network without this mark: all of it while this table is missing, and else
	# what is not allowed. So two have to refuse, here and in `forward` or `restricting`, and by other sets: whoever
	# takes away one rule or one element opens nothing. What is in the same network as itself is in one of ours.
	chain marking {
		type filter hook prerouting priority -90; policy accept;
		goto judged
	}

	chain marking_again {
		type filter hook prerouting priority -89; policy accept;
		meta mark and MARK == 0 goto judged
	}

	chain judged {
		ct state established,related goto passing
		ct status dnat goto passing
		ip saddr . ip daddr @same4 goto passing
		ip6 saddr . ip6 daddr @same6 goto passing
		ip daddr . ip daddr @same4 return
		ip6 daddr . ip6 daddr @same6 return
		ip saddr @restricted4 ip saddr . ip daddr . meta l4proto . th dport != @reachable4 return
		ip6 saddr @restricted6 ip6 saddr . ip6 daddr . meta l4proto . th dport != @reachable6 return
		iifname @outgoing goto passing
	}

	chain passing {
		meta mark set meta mark or MARK
	}

	# Into a network: answers, published ports, and neighbours when bridged packets are filtered too.
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname @internal iifname . oifname != @neighbours drop
		oifname @internal iifname . oifname != @neighbours drop
		oifname @bridges goto inward
	}

	chain inward {
		ct state established,related accept
		ct status dnat accept
		iifname . oifname @neighbours accept
		drop
	}

	# The answer must come back through the host: from the world, from a neighbour, to the host's loopback. Neighbours
	# are known by address, because a packet that br_netfilter brings along has no incoming interface here.
	chain masquerading {
		type nat hook postrouting priority 95; policy accept;
		goto masqueraded
	}

	chain masquerading_again {
		type nat hook postrouting priority 96; policy accept;
		goto masqueraded
	}

	chain masqueraded {
		iifname @bridges oifname != @bridges masquerade
		ct status dnat ip saddr . ip daddr @same4 masquerade
		ct status dnat ip6 saddr . ip6 daddr @same6 masquerade
		oifname @bridges ip saddr 127.0.0.0/8 masquerade
	}
"""

BRIDGE = """\
	# What a container sends on its link, seen before its bridge passes it to a neighbour: only under addresses of its
	# own, in its answers to who has an address as well, and nothing that only a router says. The raw expressions are
	# the source of an IPv6 packet and the target of a neighbour advertisement.
	chain sending {
		type filter hook prerouting priority -300; policy accept;
		iifname @links goto bound
	}

	chain bound {
		icmpv6 type { nd-router-advert, nd-redirect } drop
		ether type arp iifname . arp saddr ip != @bound4 drop
		ether type ip iifname . ip saddr != @bound4 drop
		ether type ip6 ip6 saddr { ::, fe80::/10 } meta l4proto icmpv6 goto bound_neighbour
		ether type ip6 iifname . @nh,64,128 != @bound6 drop
		goto bound_neighbour
	}

	chain bound_neighbour {
		icmpv6 type nd-neighbor-advert @th,64,10 != 0x3fa iifname . @th,64,128 != @bound6 drop
	}
"""
