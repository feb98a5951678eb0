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
    "dns": _LATER,
    "dns_opt": _LATER,
    "dns_search": _LATER,
    "domainname": "not supported yet; use 'hostname'",
    "expose": "not needed; services of one network reach all ports of each other",
    "extends": "not supported yet; use a YAML anchor and '<<'",
    "external_links": "not supported yet; services of one app share a network",
    "extra_hosts": _LATER,
    "gpus": _LATER,
    "group_add": _LATER,
    "healthcheck": "not supported yet; a service counts as ready when it runs",
    "ipc": _NAMESPACE,
    "isolation": _WINDOWS,
    "label_file": "not supported yet; use 'labels'",
    "links": "not needed; services of one app share a network",
    "logging": "not supported yet; output is kept in files, 10 MiB times 5",
    "mac_address": _LATER,
    "mem_reservation": "not supported yet; limit memory with 'mem_limit'",
    "mem_swappiness": _LATER,
    "memswap_limit": "not supported yet; limit memory with 'mem_limit'",
    "models": _LATER,
    "network_mode": "not supported yet; every service joins one network of its app",
    "oom_kill_disable": _LATER,
    "oom_score_adj": _LATER,
    "pid": _NAMESPACE,
    "post_start": _LATER,
    "pre_stop": _LATER,
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
    "sysctls": _LATER,
    "tty": "nothing here attaches to a container; remove it",
    "ulimits": _LATER,
    "use_api_socket": "there is no API that changes the host",
    "userns_mode": _NAMESPACE,
    "uts": _NAMESPACE,
    "volumes_from": "not supported yet; name the volume in both services",
}

ATTACHMENT: Final[Reasons] = dict.fromkeys(
    (
        "aliases", "driver_opts", "gw_priority", "interface_name", "ipv4_address", "ipv6_address", "link_local_ips",
        "mac_address", "priority",
    ),
    _LATER,
)  # fmt: skip

DEPLOY: Final[Reasons] = {
    "endpoint_mode": _LATER,
    "labels": "not supported yet; use the service's own 'labels'",
    "mode": "not supported yet; there is one host, so say how many with 'replicas'",
    "placement": "there is one host",
    "restart_policy": "not supported yet; use the service's own 'restart'",
    "rollback_config": _LATER,
    "update_config": _LATER,
}

RESOURCES: Final[Reasons] = {"reservations": "not supported yet; there is no scheduler that could honour them"}
LIMITS: Final[Reasons] = {"devices": _LATER, "generic_resources": _LATER}
ENV_FILE: Final[Reasons] = {"format": "not supported yet; the file is read by the rules of .env files"}

MOUNT: Final[Reasons] = {"image": _LATER}
BIND: Final[Reasons] = {
    "recursive": "not supported yet; mounts below the source come along",
    "selinux": "not supported yet; SELinux labels are left as they are",
}
VOLUME_MOUNT: Final[Reasons] = {
    "labels": "not supported yet; label the volume in the top-level 'volumes'",
    "subpath": _LATER,
}

NETWORK: Final[Reasons] = dict.fromkeys(
    ("attachable", "driver_opts", "enable_ipv4", "enable_ipv6", "external", "internal", "ipam"), _LATER
)
VOLUME: Final[Reasons] = {"driver_opts": "not supported yet; use a bind mount for a place of your choice"}
