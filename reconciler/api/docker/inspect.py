"""One container at length: `/containers/{id}/json`.

A recorded engine's whole shape, as clients look for keys. What reconciler does not have is Docker's zero value;
environment values, arguments, sources of bind mounts and paths of the host are never there.
"""

from __future__ import annotations

from reconciler.api.docker.entry import Shown, network_mode, networks, state
from reconciler.api.docker.words import NEVER, host_address, program, timestamp
from reconciler.api.question import Json
from reconciler.core.health import Health
from reconciler.core.model import Container, Created, Exited, Running


def container(one: Shown) -> Json:
    """The whole of it."""
    seen = one.seen
    return {
        "Id": seen.id,
        "Created": timestamp(seen.created_at),
        "Path": program(seen.command),
        "Args": [],
        "State": _state(one),
        "Image": one.image.id if one.image else seen.image_digest,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": "",
        "Name": f"/{seen.name}",
        "RestartCount": seen.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(one),
        "GraphDriver": {"Data": None, "Name": "overlay2"},
        "Mounts": one.mounts,
        "Config": _config(one),
        "NetworkSettings": _network_settings(one),
    }


def _state(one: Shown) -> Json:
    current = one.seen.state
    word = state(one)
    started, ended = NEVER, NEVER
    if isinstance(current, Running | Exited):
        started = timestamp(current.since)
    if isinstance(current, Exited):
        ended = timestamp(current.at)
    return {
        "Status": word,
        "Running": word in {"running", "restarting"},
        "Paused": False,
        "Restarting": word == "restarting",
        "OOMKilled": isinstance(current, Exited) and current.oom,
        "Dead": False,
        "Pid": current.pid if isinstance(current, Running | Created) else 0,
        "ExitCode": current.code if isinstance(current, Exited) else 0,
        "Error": one.seen.damaged,
        "StartedAt": started,
        "FinishedAt": ended,
        **_health(one.seen.health),
    }


def _health(health: Health | None) -> Json:
    """There only for what is asked. The log, which may hold what commands print, stays empty."""
    if health is None:
        return {}
    return {"Health": {"Status": health.state, "FailingStreak": health.failures, "Log": []}}


def _config(one: Shown) -> Json:
    seen, wanted = one.seen, one.wanted
    word = program(seen.command)
    return {
        "Hostname": (wanted.hostname if wanted else "") or seen.id[:12],
        "Domainname": "",
        "User": wanted.user if wanted else "",
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {port: {} for port in sorted(one.exposed)},
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": [],
        "Cmd": [word] if word else None,
        "Image": seen.image,
        "Volumes": None,
        "WorkingDir": wanted.working_dir if wanted else "",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": one.labels,
        "StopSignal": seen.stop_signal,
        "StopTimeout": int(seen.stop_grace_period),
    }


def _bindings(one: Shown) -> dict[str, list[Json]]:
    bindings: dict[str, list[Json]] = {}
    for port in one.seen.ports:
        key = f"{port.target}/{port.protocol}"
        bindings.setdefault(key, []).append({"HostIp": host_address(port.host_ip), "HostPort": str(port.published)})
    return bindings


def _network_settings(one: Shown) -> Json:
    ports: dict[str, list[Json] | None] = {}
    if isinstance(one.seen.state, Running):
        ports = {**dict.fromkeys(sorted(one.exposed)), **_bindings(one)}
    end = next(iter(networks(one).values()), {"IPAddress": "", "IPPrefixLen": 0, "Gateway": ""})
    return {
        **_NO_NETWORK,
        "Ports": ports,
        # Docker fills these for its default bridge only; docker-gen still reads nothing else
        "IPAddress": end["IPAddress"],
        "IPPrefixLen": end["IPPrefixLen"],
        "Gateway": end["Gateway"],
        "Networks": networks(one),
    }


def _host_config(one: Shown) -> Json:
    seen = one.seen
    own = {
        **_HOST_CONFIG,
        "NetworkMode": network_mode(one),
        "PortBindings": _bindings(one),
        "RestartPolicy": {"Name": seen.restart.policy, "MaximumRetryCount": seen.restart.max_retries},
    }
    return {**own, **_declared(one.wanted)} if one.wanted else own


def _declared(wanted: Container) -> Json:
    """What only the spec knows."""
    limits = wanted.resources
    return {
        "CapAdd": list(wanted.cap_add) or None,
        "CapDrop": list(wanted.cap_drop) or None,
        "ReadonlyRootfs": wanted.read_only,
        "Memory": limits.memory or 0,
        "NanoCpus": int((limits.cpus or 0) * 1_000_000_000),
        "PidsLimit": limits.pids,
        "Init": wanted.init,
    }


_NO_NETWORK: Json = {
    "Bridge": "",
    "SandboxID": "",
    "SandboxKey": "",
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
    "EndpointID": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}

_HOST_CONFIG: Json = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    "CapAdd": None,
    "CapDrop": None,
    "CgroupnsMode": "private",
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "SecurityOpt": None,
    "UTSMode": "",
    "UsernsMode": "",
    "ShmSize": 67108864,
    "Runtime": "runc",
    "Isolation": "",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "Devices": [],
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "Ulimits": [],
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
    "MaskedPaths": None,
    "ReadonlyPaths": None,
}
