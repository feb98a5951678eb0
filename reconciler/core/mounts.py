"""The mounts of a container: Docker's own ones, the three files in /etc, and what the spec asks for.

Pure. Says where something may be mounted at all (RELIABILITY H-03); whether the image's root file system is fit to be
mounted into is seen in `host.rootfs`, since only the host can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict, assert_never

from reconciler.core.model import BindMount, Container, Mount, TmpfsMount, VolumeMount
from reconciler.errors import UnfitError

SHM_SIZE = 64 * 2**20
KERNEL_FOLDERS = ("/proc", "/sys", "/dev")
INIT = "/sbin/docker-init"
ETC = ("resolv.conf", "hostname", "hosts")


class OciMount(TypedDict):
    """An entry of `mounts` in the runtime-spec's config.md."""

    destination: str
    type: str
    source: str
    options: list[str]


def oci_mounts(container: Container, volumes: str, etc: str, init: str) -> list[OciMount]:
    """All mounts in the order in which they are made. `volumes`, `etc`: host folders; `init` "" when none is wanted."""
    wanted = sorted(container.mounts, key=lambda mount: clean(mount.target).count("/"))
    targets = destinations(container)
    return [
        *(mount for mount in _kernel_mounts() if mount["destination"] not in targets),
        *(_bind(f"{etc}/{name}", f"/etc/{name}") for name in ETC if f"/etc/{name}" not in targets),
        *([_bind(init, INIT, read_only=True)] if init else []),
        *(_mount(mount, volumes) for mount in wanted),
    ]


def volumes_of(container: Container) -> tuple[str, ...]:
    """The named volumes that it uses."""
    return tuple(sorted({mount.volume for mount in container.mounts if isinstance(mount, VolumeMount)}))


def destinations(container: Container) -> tuple[str, ...]:
    """Where the spec's mounts go, in the order of the spec."""
    return tuple(clean(mount.target) for mount in container.mounts)


def clean(path: str) -> str:
    """`path` without doubled and trailing slashes and single dots."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def check_mounts(container: Container) -> None:
    """Raise HostError for a mount that would hand the container the host, or that runc could be tricked with.

    A mount below another one that somebody else may write to at the same time is refused: a link put there at the right
    moment makes old runtimes mount outside of the container (CVE-2021-30465, CVE-2024-45310).
    """
    for mount in container.mounts:
        why = _refused(mount)
        if why:
            raise UnfitError(f"cannot create container {container.name}: mount at {mount.target[:200]!r}: {why}")
    targets = destinations(container)
    for target in targets:
        if targets.count(target) > 1:
            raise UnfitError(f"cannot create container {container.name}: two mounts at {target!r}")
    for outer, target in zip(container.mounts, targets, strict=True):
        inner = next((other for other in targets if other.startswith(target + "/")), None)
        if inner and _shared(outer):
            raise UnfitError(
                f"cannot create container {container.name}: mount at {inner!r} lies inside the writable mount at"
                f" {target!r}; make the outer one read-only, or put the inner one elsewhere"
            )


def _refused(mount: Mount) -> str:
    target = mount.target
    if not target.startswith("/") or ".." in target.split("/") or "\0" in target or len(target) > 4095:
        return "it is not a plain absolute path"
    path = clean(target)
    if path == "/":
        return "the root file system is the image's"
    if path == "/dev/shm" and isinstance(mount, TmpfsMount):  # noqa: S108 - a mount point, not a file for us
        return ""
    if beneath(path, KERNEL_FOLDERS):
        return "below /proc, /sys and /dev only the kernel's own file systems are mounted"
    if isinstance(mount, BindMount) and mount.propagation in ("shared", "rshared"):
        return "what is mounted in a container must not appear on the host"
    return ""


def beneath(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one of `folders` or lies below one."""
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _shared(mount: Mount) -> bool:
    return not mount.read_only and not isinstance(mount, TmpfsMount)


def _mount(mount: Mount, volumes: str) -> OciMount:
    match mount:
        case VolumeMount():
            return _bind(f"{volumes}/{mount.volume}", clean(mount.target), mount.read_only)
        case BindMount():
            return _bind(mount.source, clean(mount.target), mount.read_only, mount.propagation)
        case TmpfsMount():
            return _tmpfs(mount)
        case _:
            assert_never(mount)


def _bind(source: str, target: str, read_only: bool = False, propagation: str = "rprivate") -> OciMount:
    options = ["rbind", propagation, "ro" if read_only else "rw"]
    return OciMount(destination=target, type="bind", source=source, options=options)


def _tmpfs(mount: TmpfsMount) -> OciMount:
    options = ["nosuid", "nodev", "noexec", "ro" if mount.read_only else "rw", *mount.options]
    if mount.size is not None:
        options.append(f"size={mount.size}")
    if mount.mode is not None:
        options.append(f"mode={mount.mode:o}")
    return OciMount(destination=clean(mount.target), type="tmpfs", source="tmpfs", options=options)


def _kernel_mounts() -> Sequence[OciMount]:
    safe = ["nosuid", "noexec", "nodev"]
    devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return [
        _kernel("/proc", "proc", safe),
        _kernel("/dev", "tmpfs", ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]),
        _kernel("/dev/pts", "devpts", devpts),
        _kernel("/sys", "sysfs", [*safe, "ro"]),
        _kernel("/sys/fs/cgroup", "cgroup", [*safe, "ro"]),
        _kernel("/dev/mqueue", "mqueue", safe),
        _kernel("/dev/shm", "tmpfs", [*safe, "mode=1777", f"size={SHM_SIZE}"], "shm"),  # noqa: S108 - as above
    ]


def _kernel(target: str, kind: str, options: Sequence[str], source: str = "") -> OciMount:
    return OciMount(destination=target, type=kind, source=source or kind, options=[*options])
