"""Layers by vector (RELIABILITY §1.3): what comes out, exactly, or the one line that refuses it.

Names of vectors are those of the catalogue. Whatever happens, nothing beside the layer's directory changes.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Mapping

import pytest
from backports import zstd

from tests.host.images.builder import (
    Member,
    folder,
    hardlink,
    header,
    member_bytes,
    packed,
    pax,
    record,
    symlink,
    tar,
)
from tests.host.images.frame import FILE, Frame, X, at, base256, describe, raw

pytestmark = pytest.mark.root

OPAQUE = " trusted.overlay.opaque=y"

TAKEN: dict[str, tuple[bytes, dict[str, str]]] = {
    # names
    "U-03 absolute": (tar(Member("/etc/x", X)), {"etc": "dir 755", "etc/x": FILE}),
    "U-04 dots and slashes": (tar(Member("./a//b/./c", X)), {"a": "dir 755", "a/b": "dir 755", "a/b/c": FILE}),
    "U-04 root entries": (tar(folder("./"), folder("."), folder("/"), folder("//")), {}),
    "U-04 file with a slash": (raw(at(b"a/")), {"a": FILE}),
    "U-04 old tar: a slash means a folder": (raw(header(b"a/", b"\0")), {"a": "dir 644"}),
    "U-06 newline and escapes": (tar(Member("a\nb\x1b[1m", X)), {"a\nb\x1b[1m": FILE}),
    "U-06 raw bytes": (raw(at(b"\xff\xfe")), {"\xff\xfe": FILE}),
    "U-06 pax with raw bytes": (raw(pax(path=b"\xff\xc3\x28"), at(b"q")), {"\xff\xc3\x28": FILE}),
    "U-06 255 bytes": (tar(Member("a" * 255, X)), {"a" * 255: FILE}),
    "U-09 case and unicode twins": (
        tar(Member("A", X), Member("a", X), Member("é", X), Member("e\u0301", X)),
        {"A": FILE, "a": FILE, "é".encode().decode("latin-1"): FILE, "e\u0301".encode().decode("latin-1"): FILE},
    ),
    "ustar prefix": (
        raw(at(b"name", prefix=b"deep/er")),
        {"deep": "dir 755", "deep/er": "dir 755", "deep/er/name": FILE},
    ),
    "100 bytes and prefix": (raw(at(b"n" * 100, prefix=b"p")), {"p": "dir 755", "p/" + "n" * 100: FILE}),
    "GNU magic has no prefix": (raw(at(b"name", magic=b"ustar  \0", prefix=b"123")), {"name": FILE}),
    "GNU long name": (raw(record(b"l" * 150 + b"\0", b"L"), at(b"short")), {"l" * 150: FILE}),
    "GNU long link": (
        raw(record(b"t" * 150 + b"\0", b"K"), header(b"l", b"2", link=b"short")),
        {"l": "-> " + "t" * 150},
    ),
    # links
    "U-10 symlink as parent, resolved inside": (
        tar(symlink("l", "../victim"), Member("l/file", X)),
        {"l": "-> ../victim", "victim": "dir 755", "victim/file": FILE},
    ),
    "U-11 symlink overridden": (
        tar(symlink("l", "/"), Member("l/x", b"1"), folder("l"), Member("l/x", b"2")),
        {"x": "file 644 1", "l": f"dir 755{OPAQUE}", "l/x": "file 644 2"},
    ),
    "U-12 chain": (
        tar(
            folder("etc"),
            folder("dummy"),
            symlink("dummy/etc", "/etc"),
            symlink("local", "./dummy/etc"),
            Member("local/f", X),
        ),
        {"etc": "dir 755", "dummy": "dir 755", "dummy/etc": "-> /etc", "local": "-> ./dummy/etc", "etc/f": FILE},
    ),
    "U-12 up and over": (
        tar(symlink("up", ".."), Member("up/other/f", X)),
        {"up": "-> ..", "other": "dir 755", "other/f": FILE},
    ),
    "U-13 dangling parent": (
        tar(symlink("run", "/var/run"), Member("run/x", X)),
        {"run": "-> /var/run", "var": "dir 755", "var/run": "dir 755", "var/run/x": FILE},
    ),
    "U-15 absolute hard link": (
        tar(Member("etc/p", X), hardlink("q", "/etc/p")),
        {"etc": "dir 755", "etc/p": FILE, "q": FILE},
    ),
    "U-17 hard link to a symlink": (
        tar(Member("f", X), symlink("s", "f"), hardlink("h", "s", mode=0o777, uid=9)),
        {"f": FILE, "s": "-> f", "h": "-> f"},
    ),
    "U-18 whiteout of a target": (
        tar(Member("a", X), hardlink("b", "a"), Member(".wh.a")),
        {"a": FILE, "b": FILE},
    ),
    "U-19 hard link to symlink changes no mode": (
        tar(symlink("ep", "/victim/hello"), hardlink("s", "ep", mode=0o777)),
        {"ep": "-> /victim/hello", "s": "-> /victim/hello"},
    ),
    # types, owners, modes
    "U-22 devices": (
        tar(
            Member("n", kind=b"3", mode=0o666, device=(1, 3)), Member("s", kind=b"4", mode=0o660, gid=6, device=(8, 1))
        ),
        {"n": "char 666 1:3", "s": "block 660 0:6 8:1"},
    ),
    "U-22 fifo": (tar(Member("p", kind=b"6", mode=0o600, uid=1)), {"p": "fifo 600 1:0 0:0"}),
    "U-23 setuid, setgid, sticky": (
        tar(
            Member("s", X, mode=0o4755, uid=3),
            Member("g", X, mode=0o2755),
            folder("d", 0o2775, gid=4),
            Member("d/f", X),
            folder("t", 0o1777),
        ),
        {"s": "file 4755 3:0 x", "g": "file 2755 x", "d": "dir 2775 0:4", "d/f": FILE, "t": "dir 1777"},
    ),
    "U-23 no permissions at all": (tar(folder("d", 0o0), Member("d/f", X, mode=0)), {"d": "dir 0", "d/f": "file 0 x"}),
    "U-24 owners": (
        tar(Member("a", X, uid=65534, gid=2147483647), Member("b", X, uid=2147483648, gid=4294967294)),
        {"a": "file 644 65534:2147483647 x", "b": "file 644 2147483648:4294967294 x"},
    ),
    "U-24 base 256": (raw(at(b"a", uid=base256(3_000_000, 8))), {"a": "file 644 3000000:0 x"}),
    "U-24 names are ignored": (raw(at(b"a", uname=b"games", gname=b"games")), {"a": FILE}),
    "U-25 kept xattrs": (
        tar(Member("a", X, uid=1, pax={"SCHILY.xattr.user.x": "1", "SCHILY.xattr.security.selinux": "z"})),
        {"a": "file 644 1:0 x user.x=1"},
    ),
    "U-26 overlay xattrs never reach the disk": (
        tar(
            folder(
                "d",
                pax={
                    f"SCHILY.xattr.trusted.overlay.{name}": "y" for name in ("opaque", "redirect", "metacopy", "origin")
                },
            ),
            Member("d/f", X, pax={"SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.trusted.foo": "1"}),
        ),
        {"d": "dir 755", "d/f": FILE},
    ),
    "U-28 contiguous file": (raw(header(b"a", b"7", 1) + X.ljust(512, b"\0")), {"a": FILE}),
    "U-28 global header renames nothing": (
        raw(record(b"17 path=evilname\n", b"g"), record(b"28 SCHILY.xattr.user.evil=1\n", b"g"), at(b"a")),
        {"a": FILE},
    ),
    "U-29 implied parents": (tar(Member("a/b/c", X)), {"a": "dir 755", "a/b": "dir 755", "a/b/c": FILE}),
    # whiteouts
    "U-31 whiteouts": (
        tar(Member(".wh.file"), Member("d/.wh..hidden"), Member(".wh.dir")),
        {"file": "whiteout", "d": "dir 755", "d/.hidden": "whiteout", "dir": "whiteout"},
    ),
    "U-34 opaque before": (
        tar(folder("d"), Member("d/.wh..wh..opq"), Member("d/new", X)),
        {"d": f"dir 755{OPAQUE}", "d/new": FILE},
    ),
    "U-34 opaque after": (
        tar(folder("d"), Member("d/new", X), Member("d/.wh..wh..opq")),
        {"d": f"dir 755{OPAQUE}", "d/new": FILE},
    ),
    "U-34 opaque alone": (tar(Member("d/.wh..wh..opq")), {"d": f"dir 755{OPAQUE}"}),
    "U-35 opaque and whiteout": (tar(Member("d/.wh..wh..opq"), Member("d/.wh.x")), {"d": f"dir 755{OPAQUE}"}),
    "U-35 whiteout and opaque": (
        tar(Member("d/s/.wh.x"), Member("d/.wh..wh..opq")),
        {"d": f"dir 755{OPAQUE}", "d/s": "dir 755"},
    ),
    "U-36 deleted and made again by a file": (
        tar(Member(".wh.foo"), Member("foo/x", X)),
        {"foo": f"dir 755{OPAQUE}", "foo/x": FILE},
    ),
    "U-36 deleted and made again by a folder": (
        tar(Member(".wh.foo"), folder("foo", 0o700)),
        {"foo": f"dir 700{OPAQUE}"},
    ),
    "U-36 made again, then whiteouts in it": (
        tar(Member(".wh.foo"), Member("foo/.wh.bar")),
        {"foo": f"dir 755{OPAQUE}"},
    ),
    "U-36 folder first": (
        tar(folder("foo"), Member("foo/x", X), Member(".wh.foo")),
        {"foo": f"dir 755{OPAQUE}", "foo/x": FILE},
    ),
    "U-36 file first": (tar(Member("foo", X), Member(".wh.foo")), {"foo": FILE}),
    "U-36 file after": (tar(Member(".wh.foo"), Member("foo", X)), {"foo": FILE}),
    "U-37 whiteout through a symlink": (
        tar(symlink("l", "/etc"), Member("l/.wh.passwd")),
        {"l": "-> /etc", "etc": "dir 755", "etc/passwd": "whiteout"},
    ),
    "U-38 leftovers of aufs": (tar(Member(".wh..wh.plnk"), Member(".wh..wh.aufs")), {}),
    # one name twice
    "U-39 file, then below it": (tar(Member("a", X), Member("a/b", X)), {"a": f"dir 755{OPAQUE}", "a/b": FILE}),
    "U-39 file, then folder": (tar(Member("a", X), folder("a")), {"a": f"dir 755{OPAQUE}"}),
    "U-39 folder, then file": (tar(folder("a"), Member("a/b/c", X), Member("a", X)), {"a": FILE}),
    "U-39 folder, then symlink": (tar(folder("a"), Member("a/b", X), symlink("a", "b")), {"a": "-> b"}),
    "U-40 file twice": (tar(Member("a", b"1", mode=0o600, uid=4), Member("a", b"2")), {"a": "file 644 2"}),
    "U-40 folder twice": (
        tar(folder("a", 0o700, uid=3), Member("a/b", X), folder("a", 0o711)),
        {"a": "dir 711", "a/b": FILE},
    ),
    "U-40 file, then symlink": (tar(Member("a", X), symlink("a", "b")), {"a": "-> b"}),
    "U-40 symlink, then file": (tar(symlink("a", "/victim/hello"), Member("a", X)), {"a": FILE}),
    "U-40 hard link, then another file": (
        tar(Member("a", b"1"), hardlink("b", "a"), Member("b", b"2")),
        {"a": "file 644 1", "b": "file 644 2"},
    ),
    "U-40 hard link over a file": (
        tar(Member("a", b"1"), Member("b", b"2"), hardlink("b", "a")),
        {"a": "file 644 1", "b": "file 644 1"},
    ),
    "U-40 fifo twice": (tar(Member("p", kind=b"6"), Member("p", kind=b"6", mode=0o600)), {"p": "fifo 600 0:0"}),
    # streams
    "U-43 padding after the end": (tar(Member("a", X), end=bytes(1 << 20)), {"a": FILE}),
    "U-43 junk after the end": (tar(Member("a", X), end=bytes(1024) + b"junk" * 99), {"a": FILE}),
    "U-43 no end": (tar(Member("a", X), end=b""), {"a": FILE}),
    "U-43 one zero block": (tar(Member("a", X), end=bytes(512)), {"a": FILE}),
    "empty tar": (tar(), {}),
    "nothing at all": (b"", {}),
    "U-46 two gzip members": (
        gzip.compress(tar(Member("a", X))[:700]) + gzip.compress(tar(Member("a", X))[700:]),
        {"a": FILE},
    ),
    "U-46 empty gzip member": (gzip.compress(b"") + gzip.compress(tar(Member("a", X))), {"a": FILE}),
    "U-46 zeros after gzip": (gzip.compress(tar(Member("a", X))) + bytes(700), {"a": FILE}),
    "U-47 zstd": (zstd.compress(tar(Member("a", X))), {"a": FILE}),
    "U-47 two zstd frames": (
        zstd.compress(tar(Member("a", X))[:700]) + zstd.compress(tar(Member("a", X))[700:]),
        {"a": FILE},
    ),
    "U-47 skippable frames": (
        struct.pack("<II", 0x184D2A50, 3)
        + b"abc"
        + zstd.compress(tar(Member("a", X)))
        + struct.pack("<II", 0x184D2A5F, 1)
        + b"z",
        {"a": FILE},
    ),
}

A = tar(Member("a", X * 3000))

REFUSED: dict[str, tuple[bytes, str]] = {
    "U-01 dot dot": (tar(Member("../victim/dotdot", X)), "entry '../victim/dotdot': its name has .."),
    "U-01 dot dot inside": (tar(Member("a/../../victim/x", X)), "its name has .."),
    "U-02 slash dot dot": (tar(Member("/../victim/x", X)), "its name has .."),
    "U-04 empty name": (raw(at(b"")), "the root is not a directory"),
    "U-05 root as symlink": (tar(symlink(".", "/victim")), "entry '.': the root is not a directory"),
    "U-05 slash as symlink": (tar(symlink("/", "/victim")), "the root is not a directory"),
    "U-05 slash dot as symlink": (tar(symlink("/.", "/victim")), "the root is not a directory"),
    "U-05 dot dot as folder": (tar(folder("..")), "its name has .."),
    "U-05 root as hard link": (tar(hardlink(".", "a")), "the root is not a directory"),
    "U-06 NUL": (raw(pax(path=b"a\0b"), at(b"q")), "its name has a NUL"),
    "U-06 component of 256 bytes": (tar(Member("a" * 256, X)), "File name too long"),
    "U-06 4096 bytes": (tar(Member("a/" * 2048 + "b", X)), "its name is too long"),
    "U-06 escapes are not printed": (tar(Member("../\x1b[1m\n", X)), "entry '../\\x1b[1m\\n': its name has .."),
    "U-07 too many entries": (tar(*(Member(f"f{number}") for number in range(3001))), "more than 3000 entries"),
    "U-07 too many implied": (tar(*(Member(f"{number}/f") for number in range(1100))), "have no entry of their own"),
    "U-08 sibling": (tar(Member("../L-evil/x", X)), "its name has .."),
    "U-12 loop": (tar(symlink("a", "b"), symlink("b", "a"), Member("a/x", X)), "a loop of symbolic links"),
    "U-14 hard link out": (tar(hardlink("l", "../victim/hello")), "its name has .."),
    "U-14 hard link slash out": (tar(hardlink("l", "/../victim/hello")), "its name has .."),
    "U-16 hard link to a folder": (tar(folder("d"), hardlink("l", "d")), "links to d, which is no file"),
    "U-16 hard link to itself": (tar(Member("a", X), hardlink("a", "./a")), "it links to itself"),
    "U-16 hard link to a later name": (
        tar(hardlink("l", "a"), Member("a", X)),
        "links to a, which this layer does not have",
    ),
    "U-16 hard link to the root": (tar(hardlink("l", "/")), "it links to itself or to the root"),
    "U-16 hard link through a file": (tar(Member("a", X), hardlink("l", "a/b")), "Not a directory"),
    "U-18 hard link to a whiteout name": (tar(Member(".wh.x"), hardlink("l", ".wh.x")), "it links to a whiteout"),
    "U-18 hard link to what is hidden": (tar(Member(".wh.x"), hardlink("l", "x")), "links to x, which is no file"),
    "U-21 empty target": (tar(symlink("l", "")), "its link target is empty or too long"),
    "U-21 long target": (raw(record(b"t" * 4097, b"K"), header(b"l", b"2")), "its link target is empty or too long"),
    "U-21 NUL in target": (raw(pax(linkpath=b"a\0b"), header(b"l", b"2")), "its link target is empty or too long"),
    "U-22 forged whiteout": (
        tar(Member("x", kind=b"3", device=(0, 0))),
        "device 0:0 would hide a file of a lower layer",
    ),
    "U-22 major out of range": (raw(header(b"x", b"3", major=base256(1 << 33, 8))), "there is no device 8589934592:0"),
    "U-22 negative minor": (
        raw(header(b"x", b"4", major=b"0000001\0", minor=base256(-1, 8))),
        "there is no device 1:-1",
    ),
    "U-22 unknown type": (raw(header(b"x", b"Z")), "entries of type Z are not supported"),
    "U-24 owner 2**32 - 1": (tar(Member("a", X, uid=4294967295)), "the owner 4294967295:0 is not possible"),
    "U-24 negative owner": (raw(at(b"a", gid=base256(-2, 8))), "the owner 0:-2 is not possible"),
    "U-24 owner in pax": (raw(pax(uid=b"99999999999"), at(b"a")), "the owner 99999999999:0 is not possible"),
    "U-24 owner is no number": (raw(pax(gid=b"0x10"), at(b"a")), "a pax record has the number b'0x10'"),
    "U-25 too big xattr": (
        raw(pax(SCHILY__xattr__user__x=b"v" * 65537), at(b"a")),
        "too many or too big extended attributes",
    ),
    "U-25 too many xattrs": (
        raw(pax(**{f"SCHILY__xattr__user__x{n}": b"1" for n in range(257)}), at(b"a")),
        "too many or too big",
    ),
    "U-28 old sparse": (raw(header(b"s", b"S")), "entries of type S are not supported"),
    "U-28 pax sparse": (raw(pax(GNU__sparse__major=b"1"), at(b"a")), "sparse files are not supported"),
    "U-28 volume label": (raw(header(b"s", b"V")), "entries of type V are not supported"),
    "U-28 multi volume": (raw(header(b"s", b"M")), "entries of type M are not supported"),
    "U-28 dump dir": (raw(header(b"s", b"D")), "entries of type D are not supported"),
    "U-32 whiteout of nothing": (tar(Member(".wh.")), "a whiteout names no file"),
    "U-32 whiteout of dot": (tar(Member("etc/.wh..")), "a whiteout names no file"),
    "U-32 whiteout of dot dot": (tar(Member("etc/.wh...")), "a whiteout names no file"),
    "U-33 whiteout as symlink": (tar(symlink(".wh.a", "b")), "a whiteout is not an empty file"),
    "U-33 whiteout as folder": (tar(folder(".wh.a")), "a whiteout is not an empty file"),
    "U-33 whiteout as hard link": (tar(Member("b", X), hardlink(".wh.a", "b")), "a whiteout is not an empty file"),
    "U-33 whiteout as device": (tar(Member(".wh.a", kind=b"3", device=(1, 3))), "a whiteout is not an empty file"),
    "U-33 whiteout with content": (tar(Member(".wh.a", X)), "a whiteout is not an empty file"),
    "U-37 whiteout over dot dot": (tar(Member("dne/../.wh.etc")), "its name has .."),
    "U-41 pax record of 64 MiB": (raw(header(b"r", b"x", 64 << 20), bytes(4096)), "a header record has 67108864 bytes"),
    "U-41 pax record of 2 GiB": (raw(header(b"r", b"x", (8 << 30) - 1)), "a header record has 8589934591 bytes"),
    "U-41 long name of 1 GiB": (raw(header(b"r", b"L", 1 << 30)), "a header record has 1073741824 bytes"),
    "U-42 gzip bomb": (packed(tar(Member("z", bytes(16 << 20)))), "more than 100 times its size"),
    "U-42 zstd bomb": (zstd.compress(tar(Member("z", bytes(16 << 20)))), "more than 100 times its size"),
    "U-42 too big": (tar(Member("z", bytes(65 << 20))), "more than 67108864 bytes"),
    "U-43 lone zero block": (
        member_bytes(Member("a", X)) + bytes(512) + tar(Member("b", X)),
        "goes on after a zero block",
    ),
    "U-44 damaged header": (raw(at(b"a"), at(b"b", checksum=b"0000001\0"), at(b"c")), "a header has a wrong checksum"),
    "U-45 longer than the stream": (header(b"a", size=5000) + X * 512, "the archive is cut off in its content"),
    "U-45 negative size": (raw(pax(size=b"-1"), at(b"a")), "a header has the size -1"),
    "U-45 size 2**63": (raw(pax(size=b"9223372036854775808"), at(b"a")), "a header has the size 9223372036854775808"),
    "U-45 octal junk": (raw(at(b"a", mtime=b"0000000009\0")), "a header has the number b'0000000009'"),
    "U-45 pax record cut": (record(b"30 path=a\n") + at(b"a"), "a pax record is damaged"),
    "U-45 pax record without length": (record(b"path=a\n") + at(b"a"), "a pax record is damaged"),
    "U-45 pax record of length 0": (record(b"0 path=a\n") + at(b"a"), "a pax record is damaged"),
    "U-45 record cut off": (header(b"r", b"x", 5000) + bytes(512), "the archive is cut off in a header record"),
    "U-45 time is no number": (raw(pax(mtime=b"1.x"), at(b"a")), "a pax record has the time b'1.x'"),
    "U-45 cut header": (tar(Member("a", X), end=b"")[:1024] + b"b" * 100, "the archive is cut off in a header"),
    "U-46 cut gzip": (gzip.compress(A)[:-20], "the compressed data is cut off"),
    "U-46 junk after gzip": (gzip.compress(A) + b"junk", "the compressed data is"),
    "U-47 cut zstd": (zstd.compress(A)[:-3], "the compressed data is cut off"),
    "U-47 junk after zstd": (zstd.compress(A) + b"junk", "the compressed data is"),
    "U-48 bzip2": (b"BZh91AY&SY" + bytes(600), "a header has"),
    "U-48 xz": (b"\xfd7zXZ\0" + b"\x01" * 600, "a header has"),
    "U-48 HTML": (b"<html>" + b"a" * 600, "a header has"),
}


PACKERS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": packed, "zstd": zstd.compress}


def variants(vectors: Mapping[str, tuple[bytes, object]]) -> list[tuple[str, str]]:
    """Every vector in every packing; those about a packing as they are."""
    plain = [name for name, (blob, _) in vectors.items() if is_tar(blob)]
    return [(name, packer) for name in plain for packer in PACKERS] + [
        (name, "plain") for name in vectors.keys() - set(plain)
    ]


def is_tar(blob: bytes) -> bool:
    return blob[257:262] == b"ustar"


@pytest.mark.parametrize(("name", "packer"), sorted(variants(TAKEN)))
def test_taken(name: str, packer: str, frame: Frame) -> None:
    blob, expected = TAKEN[name]
    frame.unpack(PACKERS[packer](blob))
    assert describe(frame.root) == expected


@pytest.mark.parametrize(("name", "packer"), sorted(variants(REFUSED)))
def test_refused(name: str, packer: str, frame: Frame) -> None:
    blob, why = REFUSED[name]
    text = frame.refusal(PACKERS[packer](blob))
    assert text.startswith("cannot unpack layer sha256:")
    assert why in text or "more than 100 times its size" in text


def test_there_are_enough_of_them() -> None:
    assert len(variants(TAKEN)) + len(variants(REFUSED)) > 350
