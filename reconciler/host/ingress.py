"""A filter on a bridge that drops what is sent to the loopback's addresses, whether our nftables table is there or not.

Publishing on 127.0.0.1 needs bridges that carry such addresses (`route_localnet`), and then a container could reach
what listens on the host's loopback. The table drops that; this does when somebody has flushed it, for nobody who
changes firewalls touches traffic control. An answer to the loopback has the address of the bridge when it comes here,
but where bridged packets are filtered (br_netfilter), nftables has put the loopback's back already, and our table its
mark, which therefore passes. A few instructions of BPF, as tc(8) would put there with `filter add … bpf
direct-action`; numbers are those of <linux/pkt_sched.h>, <linux/pkt_cls.h> and <linux/filter.h>.
"""

from __future__ import annotations

import errno
import struct

from reconciler.host.netlink import CREATE, EXCL, REPLACE, Message, Netlink, attribute, number, text

_NEWQDISC, _NEWTFILTER = 36, 44
_HEADER = struct.Struct("=B3xiIII")  # family, link, handle, parent, priority and protocol
_CLSACT, _CLSACT_HANDLE, _INGRESS = 0xFFFFFFF1, 0xFFFF0000, 0xFFFFFFF2
_KIND, _OPTIONS = 1, 2
_OPS_LEN, _OPS, _FLAGS = 4, 5, 8  # TCA_BPF_…
_DIRECT_ACTION = 1
_PRIORITY_AND_PROTOCOL = 1 << 16 | int.from_bytes(b"\x08\x00", "little")  # 1, and ETH_P_IP in network order
_SHOT, _UNSPEC = 2, 0xFFFFFFFF  # TC_ACT_…: drop, and ask the next filter
_INSTRUCTION = struct.Struct("=HBBI")
_MARK = 0xFFFFF000 + 20  # SKF_AD_OFF + SKF_AD_MARK
# What a kernel says that has no such filter, and about one that is there already
_WITHOUT = {errno.ENOENT, errno.EOPNOTSUPP}


def keep_loopback(kernel: Netlink, index: int, mark: int) -> bool:
    """Have the bridge with that index drop packets to 127.0.0.0/8 that have not our `mark`.

    False when this kernel cannot (it has no cls_bpf).
    """
    for message in (_clsact(index), _filter(index, mark)):
        try:
            kernel.change(message)
        except OSError as error:
            if error.errno in _WITHOUT:
                return False
            if error.errno != errno.EEXIST:
                raise
    return True


def _program(mark: int) -> bytes:
    return b"".join(
        (
            _INSTRUCTION.pack(0x30, 0, 0, 30),  # ldb [30]: the first octet of the destination, behind Ethernet's header
            _INSTRUCTION.pack(0x15, 0, 3, 127),  # jeq #127, else to the end
            _INSTRUCTION.pack(0x20, 0, 0, _MARK),  # ld mark
            _INSTRUCTION.pack(0x45, 1, 0, mark),  # jset, then to the end
            _INSTRUCTION.pack(0x06, 0, 0, _SHOT),  # ret
            _INSTRUCTION.pack(0x06, 0, 0, _UNSPEC),
        )
    )


def _clsact(index: int) -> Message:
    body = _HEADER.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0) + text(_KIND, "clsact")
    return Message(_NEWQDISC, CREATE | EXCL, body)


def _filter(index: int, mark: int) -> Message:
    """Takes the place of one of ours for another mark."""
    program = _program(mark)
    length = attribute(_OPS_LEN, struct.pack("=H", len(program) // _INSTRUCTION.size))
    options = length + attribute(_OPS, program) + number(_FLAGS, _DIRECT_ACTION)
    header = _HEADER.pack(0, index, 1, _INGRESS, _PRIORITY_AND_PROTOCOL)
    return Message(_NEWTFILTER, CREATE | REPLACE, header + text(_KIND, "bpf") + attribute(_OPTIONS, options))
