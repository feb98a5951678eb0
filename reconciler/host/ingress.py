"""A filter on a bridge that drops what is sent to the loopback's addresses, whether our nftables table is there or not.

Publishing on 127.0.0.1 needs bridges that carry such addresses (`route_localnet`), and then a container could reach
what listens on the host's loopback. The table drops that; this does when somebody has flushed it, for nobody who
changes firewalls touches traffic control. Three instructions of BPF, as tc(8) would put there with `filter add … bpf
direct-action`; numbers are those of <linux/pkt_sched.h>, <linux/pkt_cls.h> and <linux/filter.h>.
"""

from __future__ import annotations

import errno
import struct

from reconciler.host.netlink import CREATE, EXCL, Message, Netlink, attribute, number, text

_NEWQDISC, _NEWTFILTER = 36, 44
_HEADER = struct.Struct("=B3xiIII")  # family, link, handle, parent, priority and protocol
_CLSACT, _CLSACT_HANDLE, _INGRESS = 0xFFFFFFF1, 0xFFFF0000, 0xFFFFFFF2
_KIND, _OPTIONS = 1, 2
_OPS_LEN, _OPS, _FLAGS = 4, 5, 8  # TCA_BPF_…
_DIRECT_ACTION = 1
_PRIORITY_AND_PROTOCOL = 1 << 16 | int.from_bytes(b"\x08\x00", "little")  # 1, and ETH_P_IP in network order
_SHOT, _UNSPEC = 2, 0xFFFFFFFF  # TC_ACT_…: drop, and ask the next filter
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = b"".join(
    (
        _INSTRUCTION.pack(0x30, 0, 0, 30),  # ldb [30]: the first octet of the destination, behind the Ethernet header
        _INSTRUCTION.pack(0x15, 0, 1, 127),  # jeq #127
        _INSTRUCTION.pack(0x06, 0, 0, _SHOT),  # ret
        _INSTRUCTION.pack(0x06, 0, 0, _UNSPEC),
    )
)
# What a kernel says that has no such filter, and about one that is there already
_WITHOUT = {errno.ENOENT, errno.EOPNOTSUPP}


def keep_loopback(kernel: Netlink, index: int) -> bool:
    """Have the bridge with that index drop packets to 127.0.0.0/8; False when this kernel cannot (no cls_bpf)."""
    for message in (_clsact(index), _filter(index)):
        try:
            kernel.change(message)
        except OSError as error:
            if error.errno in _WITHOUT:
                return False
            if error.errno != errno.EEXIST:
                raise
    return True


def _clsact(index: int) -> Message:
    body = _HEADER.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0) + text(_KIND, "clsact")
    return Message(_NEWQDISC, CREATE | EXCL, body)


def _filter(index: int) -> Message:
    length = attribute(_OPS_LEN, struct.pack("=H", len(_PROGRAM) // _INSTRUCTION.size))
    options = length + attribute(_OPS, _PROGRAM) + number(_FLAGS, _DIRECT_ACTION)
    header = _HEADER.pack(0, index, 1, _INGRESS, _PRIORITY_AND_PROTOCOL)
    return Message(_NEWTFILTER, CREATE | EXCL, header + text(_KIND, "bpf") + attribute(_OPTIONS, options))
