"""The engine itself: ping, version, info.

Versions follow DOCKER-API: clients choose their dialect by `ApiVersion`, and some parse `Version` as a triple, so
both look like an engine of that dialect; our own version stands in `Components`.
"""

from __future__ import annotations

from reconciler import __version__
from reconciler.api.docker.words import timestamp
from reconciler.api.question import Json, Question
from reconciler.core.model import Running, digest
from reconciler.core.status import Host

API_VERSION = "1.44"  # 1.45 and later change shapes under old clients and ask for more than we serve
API_MINIMUM = "1.24"
ENGINE_VERSION = "25.0.0-reconciler"  # the engine that spoke 1.44 first; cAdvisor wants exactly one triple
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version(question: Question) -> Json:
    """`/version`."""
    host = question.snapshot.host
    architecture = _ARCHITECTURES.get(host.architecture, host.architecture)
    details = {"ApiVersion": API_VERSION, "MinAPIVersion": API_MINIMUM, "Os": "linux", "Arch": architecture,
               "KernelVersion": host.kernel}  # fmt: skip
    return {
        "Platform": {"Name": f"reconciler {__version__}"},
        "Components": [
            {"Name": "reconciler", "Version": __version__, "Details": details},
            {"Name": host.runtime, "Version": host.runtime_version, "Details": {}},
        ],
        "Version": ENGINE_VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": API_MINIMUM,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": host.kernel,
        "BuildTime": "",
    }


def info(question: Question) -> Json:
    """`/info`."""
    snapshot = question.snapshot
    containers = snapshot.observed.containers.values()
    running = sum(isinstance(seen.state, Running) for seen in containers)
    return {
        "Containers": len(containers),
        "ContainersPaused": 0,
        "ContainersRunning": running,
        "ContainersStopped": len(containers) - running,
        "Images": len({image.id for image in snapshot.observed.images.values()}),
        "SystemTime": timestamp(question.now),
        **_host(snapshot.host),
        **_CONSTANT,
    }


def _host(host: Host) -> Json:
    return {
        "ID": digest(f"{host.name}\0{host.state_directory}")[:32],
        "Name": host.name,
        "Architecture": host.architecture,
        "CgroupDriver": host.cgroup_driver,
        "CgroupVersion": str(host.cgroup_version),
        "DefaultRuntime": host.runtime,
        "DockerRootDir": host.state_directory,
        "KernelVersion": host.kernel,
        "MemTotal": host.memory,
        "NCPU": host.processors,
        "OperatingSystem": host.operating_system,
        "Runtimes": {host.runtime: {"path": host.runtime}},
    }


_CONSTANT: Json = {
    "BridgeNfIp6tables": False,
    "BridgeNfIptables": False,
    "CDISpecDirs": [],
    "CPUSet": True,
    "CPUShares": True,
    "ContainerdCommit": {"ID": ""},
    "CpuCfsPeriod": True,
    "CpuCfsQuota": True,
    "Debug": False,
    "Driver": "overlay2",
    "DriverStatus": [],
    "ExperimentalBuild": False,
    "GenericResources": None,
    "HttpProxy": "",
    "HttpsProxy": "",
    "IPv4Forwarding": True,
    "IndexServerAddress": "https://index.docker.io/v1/",
    "InitBinary": "docker-init",
    "InitCommit": {"ID": ""},
    "Isolation": "",
    "KernelMemoryTCP": True,
    "Labels": [],
    "LiveRestoreEnabled": True,
    "LoggingDriver": "json-file",
    "MemoryLimit": True,
    "NEventsListener": 0,
    "NFd": 0,
    "NGoroutines": 0,
    "NoProxy": "",
    "OSType": "linux",
    "OSVersion": "",
    "OomKillDisable": False,
    "PidsLimit": True,
    "Plugins": {"Authorization": None, "Log": ["json-file"], "Network": ["bridge", "null"], "Volume": ["local"]},
    "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": None},
    "RuncCommit": {"ID": ""},
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "ServerVersion": ENGINE_VERSION,
    "SwapLimit": True,
    "Swarm": {
        "ControlAvailable": False,
        "Error": "",
        "LocalNodeState": "inactive",
        "NodeAddr": "",
        "NodeID": "",
        "RemoteManagers": None,
    },
    "Warnings": None,
}


def plugins(_: Question) -> list[object]:
    """`/plugins`: there are none."""
    return []
