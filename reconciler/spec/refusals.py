"""What the Compose Specification knows and this program does not do yet: each key with a reason.

Kept beside the models, so that no key of Compose is ever called unknown. What to do instead stands in the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Reasons = Mapping[str, str]

_LATER: Final = "not supported yet"
_BUILD: Final = "images are not built here; build it elsewhere, push it, and name it with 'image'"
_CPU: Final = "not supported yet; limit processors with 'cpus'"
_NAMESPACE: Final = "not supported yet; every container has its own namespaces"
_WINDOWS: Final = "it means nothing on Linux"

COMPOSE: Final[Reasons] = {
    "include": "not supported yet; each file of the specs directory is an app of its own",
    "secrets": "not supported yet; mount a file with 'volumes'",
    "configs": "not supported yet; mount a file with 'volumes'",
    "models": _LATER,
}

SERVICE: Final[Reasons] = {
    "annotations": "not supported yet; use 'labels'",
    "attach": "nothing here attaches to a container; remove it",
    "blkio_config": _LATER,
    "build": _BUILD,
    "cgroup": _NAMESPACE,
    "cgroup_parent": _LATER,
    "configs": "not supported yet; mount a file with 'volumes'",
    "container_name": "not supported yet; the containers are called APP-SERVICE-1, APP-SERVICE-2 and so on",
    "cpu_count": _CPU,
    "cpu_percent": _CPU,
    "cpu_period": _CPU,
    "cpu_quota": _CPU,
    "cpu_rt_period": _CPU,
    "cpu_rt_runtime": _CPU,
    "cpu_shares": _CPU,
    "cpuset": _CPU,
    "credential_spec": _WINDOWS,
    "develop": "this is no development environment; remove it",
    "device_cgroup_rules": _LATER,
    "devices": _LATER,
    "extends": "not supported yet; use a YAML anchor and '<<'",
    "external_links": "not supported yet; join a network of the other app, which is 'external' here",
    "gpus": _LATER,
    "group_add": _LATER,
    "ipc": _NAMESPACE,
    "isolation": _WINDOWS,
    "label_file": "not supported yet; use 'labels'",
    "links": "not needed; services of one network find each other by name, and by their 'aliases' there",
    "logging": "not supported yet; output is kept in files, 10 MiB times 5",
    "mem_reservation": "not supported yet; limit memory with 'mem_limit'",
    "mem_swappiness": _LATER,
    "memswap_limit": "not supported yet; limit memory with 'mem_limit'",
    "models": _LATER,
    "oom_kill_disable": _LATER,
    "oom_score_adj": _LATER,
    "pid": _NAMESPACE,
    "privileged": "not supported yet; add single capabilities with 'cap_add'",
    "profiles": "not supported yet; what stands in a spec runs",
    "provider": _LATER,
    "pull_refresh_after": "not supported yet; write 'pull_policy: every_12h' instead",
    "runtime": "the runtime is chosen for the whole host, in the settings",
    "scale": "write 'deploy.replicas' instead",
    "secrets": "not supported yet; mount a file with 'volumes'",
    "security_opt": _LATER,
    "shm_size": _LATER,
    "stdin_open": "nothing here attaches to a container; remove it",
    "storage_opt": _LATER,
    "tty": "nothing here attaches to a container; remove it",
    "ulimits": _LATER,
    "use_api_socket": "there is no API that changes the host",
    "userns_mode": _NAMESPACE,
    "uts": _NAMESPACE,
    "volumes_from": "not supported yet; name the volume in both services",
}

_MOMENTS: Final = "a run of a job is one command; write a script, or make it a service"
JOB: Final[Reasons] = {
    **SERVICE,
    "deploy": "a job is one container; limit it with 'mem_limit', 'cpus' and 'pids_limit'",
    "post_start": _MOMENTS,
    "pre_start": _MOMENTS,
    "pre_stop": _MOMENTS,
    "restart": "a run that failed is over; the next one is at the next time of its schedule",
    "scale": "a job is one container",
}

ATTACHMENT: Final[Reasons] = {
    "driver_opts": "not supported yet; write 'interface_name' here, or 'sysctls' at the service",
    "link_local_ips": "not supported yet; a link has the link-local address that the kernel gives it",
}

DEPLOY: Final[Reasons] = {
    "endpoint_mode": "not supported yet; a service's name stands for all its containers, as with dnsrr",
    "labels": "not supported yet; use the service's own 'labels'",
    "mode": "not supported yet; there is one host, so say how many with 'replicas'",
    "placement": "there is one host",
    "restart_policy": "not supported yet; use the service's own 'restart'",
}

RESOURCES: Final[Reasons] = {"reservations": "not supported yet; there is no scheduler that could honour them"}
LIMITS: Final[Reasons] = {"devices": _LATER, "generic_resources": _LATER}
ENV_FILE: Final[Reasons] = {"format": "not supported yet; the file is read by the rules of .env files"}

HOOK: Final[Reasons] = {"privileged": "not supported; a hook has the rights of its container, see 'cap_add'"}

MOUNT: Final[Reasons] = {"image": _LATER}
BIND: Final[Reasons] = {
    "recursive": "not supported yet; mounts below the source come along",
    "selinux": "not supported yet; SELinux labels are left as they are",
}
VOLUME_MOUNT: Final[Reasons] = {
    "labels": "not supported yet; label the volume in the top-level 'volumes'",
    "subpath": _LATER,
}

IPAM: Final[Reasons] = {"options": "not supported yet; addresses are chosen by 'config' alone"}

_ALWAYS: Final = "it cannot be chosen; what goes out has an address of the host, as is Docker's default"
DRIVER_OPTIONS: Final[Reasons] = {
    "com.docker.network.bridge.default_bridge": "there is no bridge for all apps",
    "com.docker.network.bridge.enable_icc": "containers of one network reach each other; use two networks",
    "com.docker.network.bridge.enable_ip_masquerade": _ALWAYS,
    "com.docker.network.bridge.gateway_mode_ipv4": _ALWAYS,
    "com.docker.network.bridge.gateway_mode_ipv6": _ALWAYS,
    "com.docker.network.bridge.host_binding_ipv4": "write the address at each of 'ports'",
    "com.docker.network.bridge.inhibit_ipv4": "a bridge always has the gateway's address",
    "com.docker.network.bridge.trusted_host_interfaces": _ALWAYS,
    "com.docker.network.container_iface_prefix": "write 'interface_name' where the service names this network",
    "com.docker.network.host_ipv4": _ALWAYS,
    "com.docker.network.host_ipv6": _ALWAYS,
    "ipvlan_flag": "not supported yet; interfaces of one parent reach each other, as without it",
}
VOLUME: Final[Reasons] = {"driver_opts": "not supported yet; use a bind mount for a place of your choice"}
