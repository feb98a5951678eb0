"""What a container can see and do, asked from inside of real ones (RELIABILITY §2.5, H-01 to H-13)."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.bundle import MASKED, READ_ONLY
from reconciler.core.model import BindMount, ImageConfig, Resources, TmpfsMount, VolumeMount
from reconciler.errors import HostError
from tests.host.containers import Host, container, hosting

pytestmark = [pytest.mark.root, pytest.mark.host]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosting(tmp_path) as made:
        yield made


# --- H-01, H-02: a root file system that is a trap -----------------------------------------------------------


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "dev/pts", "dev/shm", "sys/fs", "sys/fs/cgroup", "dev/mqueue"])
@pytest.mark.parametrize("kind", ["absolute", "relative", "dangling", "host", "file", "fifo"])
def test_a_root_whose_kernel_folders_are_none_is_refused(host: Host, tmp_path: Path, name: str, kind: str) -> None:
    marker = tmp_path / "marker"
    (marker / "ptmx").mkdir(parents=True)
    place = host.layers / "base" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    targets = {"absolute": "/data", "relative": "../data", "dangling": "/nowhere", "host": str(marker)}
    if kind == "file":
        place.write_text("")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(targets[kind])
    id = host.create(container("true"))
    with pytest.raises(HostError, match=f"its /{name} is not a folder"):
        host.runtime.start(id, 0, 0)
    assert sorted(path.name for path in marker.rglob("*")) == ["ptmx"]
    assert list((host.settings.run / "runs").glob("*")) == []


def test_a_mount_that_a_link_of_the_image_leads_below_proc_is_refused(host: Host, tmp_path: Path) -> None:
    (host.layers / "base/link").symlink_to("/proc/sys")
    id = host.create(container("true", mounts=(BindMount(source=str(tmp_path), target="/link/x"),)))
    with pytest.raises(HostError, match="it leads to /proc/sys/x"):
        host.runtime.start(id, 0, 0)


def test_a_working_directory_that_a_link_leads_below_proc_is_refused(host: Host) -> None:
    (host.layers / "base/cwd").symlink_to("/proc/self/fd/7")
    id = host.create(container("true", working_dir="/cwd"))
    with pytest.raises(HostError, match="it leads to /proc/self/fd/7"):
        host.runtime.start(id, 0, 0)


# --- H-05, H-06, H-10: what a process is given -----------------------------------------------------------------


def test_a_process_has_its_three_streams_and_nothing_else(host: Host, tmp_path: Path) -> None:
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        text = host.output(container("ls /proc/1/fd; true"))
    finally:
        os.close(leak)
    assert text.split() == ["0", "1", "2"]


STATUS = """
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Umask)' /proc/self/status | tr -d '\\t'
cat /proc/self/oom_score_adj
"""

EXPECTED_STATUS = """\
Umask:0022
Uid:0000
Groups:0 10
CapInh:0000000000000000
CapPrm:00000000a80425fb
CapEff:00000000a80425fb
CapBnd:00000000a80425fb
CapAmb:0000000000000000
NoNewPrivs:0
Seccomp:2
0
"""


def test_status_of_a_process_is_docker_s(host: Host) -> None:
    assert host.output(container(STATUS)).replace("Groups:0 10 \n", "Groups:0 10\n") == EXPECTED_STATUS


def test_nothing_odd_about_the_daemon_reaches_a_container(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"{STATUS}ulimit -a; env"
    plain = host.output(container(script, hostname="same"))
    before = resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)
    for name in ("LD_LIBRARY_PATH", "NOTIFY_SOCKET", "LISTEN_FDS", "_OCI_CONSOLE"):
        monkeypatch.setenv(name, "/odd")
    umask = os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, before[0][1]))
    resource.setrlimit(resource.RLIMIT_CORE, (12345, before[1][1]))
    try:
        odd = host.output(container(script, hostname="same"))
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, before[0])
        resource.setrlimit(resource.RLIMIT_CORE, before[1])
    assert odd == plain


def test_capabilities_follow_the_spec(host: Host) -> None:
    text = host.output(container("grep CapBnd /proc/self/status", cap_drop=("ALL",), cap_add=("NET_BIND_SERVICE",)))
    assert text.split()[1] == "0000000000000400"


def test_environment_is_docker_s(host: Host) -> None:
    id = host.create(container("env", environment=(("A", "1"), ("FROM_IMAGE", "2"))))
    host.runtime.start(id, 0, 0)
    host.wait(id)
    lines = set(host.log(id).splitlines()) - {"SHLVL=1", "PWD=/"}
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert lines == {path, f"HOSTNAME={id[:12]}", "FROM_IMAGE=2", "A=1", "HOME=/root"}


# --- H-07, H-09: what is hidden, and what is denied --------------------------------------------------------------


def test_masked_paths_are_empty_and_read_only_ones_cannot_be_written(host: Host) -> None:
    probe = """
for path in $MASKED; do
  if [ -d $path ]; then [ -z "$(ls -A $path)" ] || echo seen $path; touch $path/x 2>/dev/null && echo written $path
  elif [ -e $path ]; then [ -c $path ] && [ "$(stat -c %t:%T $path)" = 1:3 ] || echo seen $path; fi
done
for path in $READ_ONLY; do
  if [ -d $path ]; then (echo x > $path/x) 2>/dev/null && echo written $path; fi
done
(echo h > /proc/sysrq-trigger) 2>/dev/null && echo written
grep -E ' /proc/(sys|irq|bus|fs|sysrq-trigger) ' /proc/self/mounts | grep -vE ' ro[, ]' && echo writable
echo done
"""
    environment = (("MASKED", " ".join(MASKED)), ("READ_ONLY", " ".join(READ_ONLY)))
    assert host.output(container(probe, environment=environment)) == "done\n"


DENIED = {
    "mount": "mount -t tmpfs none /tmp",
    "unshare a user namespace": "unshare -U true",
    "unshare a network namespace": "unshare -n true",
    "write a sysctl": "echo 1 > /proc/sys/kernel/panic",
    "write to sysfs": "echo 1 > /sys/kernel/profiling",
    "write to a cgroup": "for f in $(find /sys/fs/cgroup -name cgroup.procs); do mkdir ${f%/*}/x && exit; done; false",
    "set the clock": "date -s 2000-01-01; [ $(date +%Y) = 2000 ]",
    "load a module": "insmod /bin/busybox",
    "read the kernel's log": "dmesg",
    "set the host name": "hostname other",
    "use a disk": "mknod /tmp/d b 8 0 && cat /tmp/d",
}


@pytest.mark.parametrize("what", DENIED)
def test_denied(host: Host, what: str) -> None:
    assert host.output(container(f"({DENIED[what]}) >/dev/null 2>&1 && echo allowed || echo denied")) == "denied\n"


# Numbers that are the same on every architecture; the errno that a container of Docker's gets.
CALLS = {
    "io_uring_setup": (425, errno.EPERM),
    "open_tree": (428, errno.EPERM),
    "fsopen": (430, errno.EPERM),
    "clone3": (435, errno.ENOSYS),
    "pidfd_getfd": (438, errno.EPERM),
    "mount_setattr": (442, errno.EPERM),
    "pidfd_open": (434, errno.EINVAL),
}
FAMILIES = {"AF_ALG": (38, errno.EPERM), "AF_VSOCK": (40, errno.EPERM), "AF_UNIX": (1, 0), "AF_INET": (2, 0)}


def test_system_calls_end_as_docker_s_filter_ends_them(host: Host) -> None:
    """Asked with the host's own perl, which every Debian has."""
    for name in ("lib", "lib64"):
        (host.layers / "base" / name).symlink_to(f"usr/{name}")
    calls = "".join(f"syscall({number}, -1, -1, -1); print $! + 0, qq( );" for number, _ in CALLS.values())
    sockets = "".join(
        f"print +(socket(my $s{number}, {number}, $_, 0) ? 0 : $! + 0), qq( ) for 1;" for number, _ in FAMILIES.values()
    )
    mounts = (BindMount(source="/usr", target="/usr", read_only=True),)
    perl = container(entrypoint=("/usr/bin/perl", "-e", f"$! = 0; {calls}{sockets} print qq(\n)"), mounts=mounts)
    seen = [int(word) for word in host.output(perl).split()]
    assert dict(zip([*CALLS, *FAMILIES], seen, strict=True)) == {
        name: expected for name, (_, expected) in {**CALLS, **FAMILIES}.items()
    }


def test_devices_are_the_standard_ones(host: Host) -> None:
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert host.output(container("ls /dev | tr '\\n' ' '")).split() == expected.split()
    assert host.output(container("mknod /tmp/null c 1 3 && echo x > /tmp/null && echo usable")) == "usable\n"


def test_kernel_mounts_have_safe_options(host: Host) -> None:
    mounts = {line.split()[1]: line.split() for line in host.output(container("cat /proc/self/mounts")).splitlines()}
    for path in ("/proc", "/sys", "/dev/shm", "/dev/mqueue"):
        assert {"nosuid", "nodev", "noexec"} <= set(mounts[path][3].split(",")), path
    assert {"nosuid", "noexec"} <= set(mounts["/dev"][3].split(","))
    assert "size=65536k" in mounts["/dev/shm"][3]
    assert "ro" in mounts["/sys"][3].split(",")


# --- H-11, H-12: users and groups --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "uid=0(root) gid=0(root) groups=0(root),10(wheel)"),
        ("web", "uid=1000(web) gid=1000(web) groups=10(wheel),1000(web)"),
        ("1000", "uid=1000(web) gid=1000(web) groups=10(wheel),1000(web)"),
        ("web:wheel", "uid=1000(web) gid=10(wheel) groups=10(wheel)"),
        ("4242", "uid=4242 gid=0(root) groups=0(root)"),
        ("4242:4343", "uid=4242 gid=4343 groups=4343"),
    ],
)
def test_users_are_docker_s(host: Host, user: str, expected: str) -> None:
    assert host.output(container("id", user=user)).strip() == expected


def test_the_image_s_user_holds_unless_the_spec_says_one(host: Host) -> None:
    host.image = replace(host.image, config=ImageConfig(user="web"))
    assert host.output(container("id -un")) == "web\n"
    assert host.output(container("id -un", user="root")) == "root\n"


@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "large"])
def test_an_account_file_that_is_none_is_refused(host: Host, name: str, kind: str) -> None:
    place = host.layers / "base/etc" / name
    place.unlink()
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/zero")
        os.mknod(host.layers / "base/zero", 0o020666, os.makedev(1, 5))
    else:
        with place.open("wb") as file:
            file.truncate(11 * 2**20)
    with pytest.raises(HostError, match=f"cannot read the image's /etc/{name}"):
        host.create(container("true"))
    assert host.reader.look(None) == {}


def test_account_files_are_found_within_the_image_only(host: Host, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("evil:x:0:0::/:\n")
    place = host.layers / "base/etc/passwd"
    place.unlink()
    place.symlink_to(outside)
    with pytest.raises(HostError, match="has none of that name"):
        host.create(container("true", user="evil"))
    place.unlink()
    (host.layers / "base/store").mkdir()
    (host.layers / "base/store/passwd").write_text("nix:x:77:77::/home:\n")
    place.symlink_to("/store/passwd")
    assert host.output(container("id -u", user="nix")) == "77\n"


# --- H-13: what does not stay inside -----------------------------------------------------------------------------


def test_a_fork_bomb_ends_at_the_pids_limit(host: Host) -> None:
    script = "for i in $(seq 40); do sleep 5 & done; wait"
    id = host.start(container(script, resources=Resources(pids=20)))
    host.wait_for_log(id, "can't fork")
    assert int((host.cgroups.folder(f"{id}-1", "pids") / "pids.current").read_text()) <= 20


def test_a_memory_hog_is_ended_and_said_to_be(host: Host) -> None:
    id = host.start(container("tail /dev/zero", resources=Resources(memory=32 * 2**20)))
    ended = host.wait(id, 60.0)
    assert (ended.code, ended.oom) == (137, True)
    host.runtime.clean(id)
    assert host.wait(id).oom is True


def test_a_full_tmpfs_is_full(host: Host) -> None:
    mounts = (TmpfsMount(target="/fill", size=1024 * 1024),)
    text = host.output(
        container("dd if=/dev/zero of=/fill/x bs=4096 count=1000 2>&1 | grep -c 'No space'", mounts=mounts)
    )
    assert text == "1\n"


# --- limits and the root file system -----------------------------------------------------------------------------


def test_limits_are_those_of_the_spec(host: Host) -> None:
    limits = Resources(memory=64 * 2**20, cpus=0.5, pids=77)
    id = host.start(container("exec sleep 1000", resources=limits))

    def read(controller: str, file: str) -> str:
        return (host.cgroups.folder(f"{id}-1", controller) / file).read_text().strip()

    if host.cgroups.unified:
        seen = read("", "memory.max"), read("", "cpu.max"), read("", "pids.max")
        assert seen == (str(64 * 2**20), "50000 100000", "77")
    else:
        seen = read("memory", "memory.limit_in_bytes"), read("cpu", "cpu.cfs_quota_us"), read("pids", "pids.max")
        assert seen == (str(64 * 2**20), "50000", "77")


def test_a_read_only_root_is_read_only_and_its_tmpfs_is_not(host: Host) -> None:
    mounts = (TmpfsMount(target="/scratch", mode=0o700),)
    script = "touch /x 2>/dev/null && echo root; touch /scratch/x && echo scratch; stat -c %a /scratch"
    assert host.output(container(script, read_only=True, mounts=mounts)) == "scratch\n700\n"


def test_a_bind_mount_s_missing_source_is_made_only_when_wanted(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "made" / "here"
    made = BindMount(source=str(source), target="/here")
    assert host.output(container("echo content > /here/file", mounts=(made,))) == ""
    assert (source / "file").read_text() == "content\n"
    missing = BindMount(source=str(tmp_path / "missing"), target="/x", create_host_path=False)
    with pytest.raises(HostError, match="missing does not exist"):
        host.create(container(mounts=(missing,)))


def test_a_read_only_mount_cannot_be_written(host: Host, tmp_path: Path) -> None:
    mounts = (BindMount(source=str(tmp_path), target="/here", read_only=True),)
    assert host.output(container("touch /here/x 2>/dev/null || echo no", mounts=mounts)) == "no\n"


def test_a_volume_that_does_not_exist_is_refused(host: Host) -> None:
    with pytest.raises(HostError, match="volume app_none does not exist"):
        host.create(container(mounts=(VolumeMount(volume="app_none", target="/data"),)))


ORPHANS = """
for i in 1 2 3; do sh -c 'sleep 0.1 & exit'; done
sleep 0.5
echo $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l) $(cat /proc/1/comm)
"""


def test_init_reaps_what_nobody_waits_for(host: Host) -> None:
    zombies, name = host.output(container(ORPHANS, init=True)).split()
    assert zombies == "0"
    assert name in ("docker-init", "tini-static", "catatonit")
