"""The unpacker itself (X-01…X-04): what it may reach, and what becomes of the others when it dies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor
from reconciler.host.images.overlay import Limits
from reconciler.host.images.unpacker import Unpacker
from tests.host.images.builder import LAYER, Member, digest, folder, packed, symlink, tar
from tests.host.images.frame import Frame, describe, writer

pytestmark = pytest.mark.root

POISON = [
    *(
        Member(f"usr/bin/{name}", b"#!/bin/sh\ntouch /poisoned\n", mode=0o755)
        for name in ("unpigz", "gzip", "zstd", "tar", "sh")
    ),
    Member("etc/ld.so.preload", b"/poison.so\n"),
    Member("etc/nsswitch.conf", b"passwd: poison\n"),
    Member("poison.so", b"\x7fELF"),
    folder("usr/lib/python3.11/encodings"),
    Member("usr/lib/python3.11/encodings/idna.py", b"raise SystemExit\n"),
]


def test_nothing_of_an_image_is_ever_loaded_or_run(tmp_path: Path) -> None:
    """X-01, X-02: after its chroot the process opens nothing but what the layer names, and executes nothing."""
    top = tmp_path / "layer"
    top.mkdir()
    blob = packed(tar(*POISON, Member("../refused", b"x")))
    trace = tmp_path / "trace"
    with traced(trace) as control:
        answer = hand_over(control, blob, top)
    assert b"its name has .." in answer
    calls = after_chroot(trace)
    assert any("chroot" in call for call in calls)
    assert not [call for call in calls if re.search(r" execve?(at)?\(| mmap\(.*PROT_EXEC| socket\(", call)]
    opened = {found[1] for call in calls if (found := re.search(r'open(?:at)?\([^"]*"([^"]*)"', call))}
    named = {
        part
        for member in POISON
        for part in (member.name, member.name.rpartition("/")[0], member.name.rpartition("/")[2])
    }
    assert opened <= named | {"."}


class traced:  # noqa: N801 (reads as a word)
    """The unpacker under strace; gives the socket for jobs."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __enter__(self) -> socket.socket:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [
            "strace",
            "-f",
            "-qq",
            "-o",
            str(self._trace),
            "-e",
            "trace=open,openat,execve,execveat,mmap,socket,chroot",
        ]
        child = [sys.executable, "-m", "reconciler.host.images.unpack", str(theirs.fileno())]
        self._process = subprocess.Popen([*argv, *child], pass_fds=[theirs.fileno()])
        theirs.close()
        return self._ours

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait(20)


def hand_over(control: socket.socket, blob: bytes, folder: Path) -> bytes:
    """Give the unpacker one job; its answer."""
    import json
    from dataclasses import asdict

    blob_read, blob_write = os.pipe()
    answer_read, answer_write = os.pipe()
    directory = os.open(folder, os.O_RDONLY)
    listing = os.open(folder.with_name("list"), os.O_WRONLY | os.O_CREAT)
    job = json.dumps({"announced": len(blob), **asdict(Limits())}).encode()
    socket.send_fds(control, [job], [directory, answer_write, blob_read, listing])
    for fd in (blob_read, directory, answer_write, listing):
        os.close(fd)
    os.write(blob_write, blob)
    os.close(blob_write)
    with open(answer_read, "rb") as file:
        return file.read()


def after_chroot(trace: Path) -> list[str]:
    """The system calls of the process that was chrooted, from there on."""
    lines = trace.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if "chroot(" in line)
    pid = lines[at].split()[0]
    return [line for line in lines[at:] if line.split()[0] == pid]


def test_it_has_left_the_host(tmp_path: Path) -> None:
    """Namespaces, root, capabilities and environment of a process that is unpacking."""
    with Unpacker("test", Limits()) as unpacker, paused(unpacker, tmp_path) as pid:
        for kind in ("mnt", "net", "ipc", "uts", "pid"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
        assert Path(os.readlink(f"/proc/{pid}/root")) == tmp_path / "layer"
        status = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t000000008820001b" in status
        assert "NoNewPrivs:\t1" in status
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {item.partition(b"=")[0] for item in environment} <= {b"PATH", b"PYTHONPATH", b"LC_ALL", b""}


class paused:  # noqa: N801 (reads as a word)
    """A layer that waits for more of its blob; gives the pid of its process."""

    def __init__(self, unpacker: Unpacker, top: Path) -> None:
        self._unpacker, self._layer = unpacker, top / "layer"
        self._go, self._started = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def __enter__(self) -> int:
        self._layer.mkdir()
        self._thread = threading.Thread(target=self._unpack)
        self._thread.start()
        assert self._started.wait(20)
        return self._pid()

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._thread.join(20)

    def _unpack(self) -> None:
        blob = tar(Member("a", b"x" * 100_000))

        def send(sink: int) -> None:
            os.write(sink, blob[:50_000])
            self._started.set()
            assert self._go.wait(20)
            os.write(sink, blob[50_000:])

        try:
            self._unpacker.unpack(Descriptor(LAYER, digest(blob), len(blob)), self._layer, send)
        except HostError as error:
            self.error = error

    def _pid(self) -> int:
        """The process that is rooted in the layer, once it waits for its blob (system call 0: read)."""
        for _ in range(2000):
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    rooted = os.readlink(entry / "root") == str(self._layer)
                    if rooted and (entry / "syscall").read_text().startswith("0 "):
                        return int(entry.name)
                except OSError:
                    continue
        raise AssertionError("no process is in the layer")


def test_one_that_is_killed_fails_its_own_layer_only(tmp_path: Path) -> None:
    """X-04."""
    with Unpacker("app", Limits()) as unpacker:
        pause = paused(unpacker, tmp_path)
        with pause as pid:
            os.kill(pid, signal.SIGKILL)
        assert re.fullmatch(r"cannot unpack layer sha256:\w{12} of app: its process died", str(pause.error))
        frame = Frame(tmp_path / "frame", unpacker)
        frame.prepare()
        frame.unpack(tar(symlink("a", "b")))
        assert describe(frame.root) == {"a": "-> b"}


def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """X-04: a hung one."""
    with Unpacker("app", Limits(seconds=1.0)) as unpacker:
        pause = paused(unpacker, tmp_path)
        with pause as pid:
            os.kill(pid, signal.SIGSTOP)
            unpacker._thread.join(20)  # its time is over
        assert re.search("its process died|did not end within 1 seconds", str(pause.error))


def test_memory_has_a_limit(tmp_path: Path) -> None:
    """X-04, T-7: the child cannot grow beyond its limit, and the bomb is refused before the disk is full."""
    frame = Frame(tmp_path / "frame", Unpacker("app", Limits(size=32 << 20)))
    frame.prepare()
    with frame.unpacker:
        assert "more than 33554432 bytes" in frame.refusal(packed(tar(Member("z", bytes(64 << 20)))))


def test_a_child_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    unpacker = Unpacker("app", Limits())
    with unpacker:
        unpacker._thread.join(20)
        blob = tar()
        with pytest.raises(HostError, match=r"cannot unpack layer .* of app: cannot run /nonexistent/python"):
            unpacker.unpack(Descriptor(LAYER, digest(blob), len(blob)), tmp_path, writer(blob))
