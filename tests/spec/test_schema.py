"""The schema for editors is the models' own, and knows every example; and no key of Compose is unknown to us."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

from reconciler.spec import yaml
from reconciler.spec.compose import MODELS
from reconciler.spec.schema import schema, text

ROOT = Path(__file__).parents[2]
ENDINGS = ("*.toml", "*.yaml")
SPECS = [path for folder in ("examples", "specs") for ending in ENDINGS for path in (ROOT / folder).rglob(ending)]

# Every key of a service in the schema of the Compose Specification of 2026.
COMPOSE_SERVICE = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec
depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc
isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit
models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop
privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets
security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
COMPOSE = {
    (): "version name include services jobs models networks volumes secrets configs",
    ("services", "*"): COMPOSE_SERVICE,
    ("services", "*", "ports", "*"): "name mode host_ip target published protocol app_protocol",
    ("services", "*", "volumes", "*"): "type source target read_only consistency bind volume tmpfs image",
    ("services", "*", "volumes", "*", "bind"): "propagation create_host_path recursive selinux",
    ("services", "*", "volumes", "*", "volume"): "labels nocopy subpath",
    ("services", "*", "volumes", "*", "tmpfs"): "size mode",
    ("services", "*", "env_file", "*"): "path format required",
    ("services", "*", "networks", "*"): "aliases interface_name ipv4_address ipv6_address link_local_ips mac_address "
    "driver_opts priority gw_priority",
    ("services", "*", "depends_on", "*"): "condition required restart",
    ("services", "*", "healthcheck"): "test interval timeout retries start_period start_interval disable",
    ("services", "*", "pre_start", "*"): "command image user privileged working_dir environment per_replica",
    ("services", "*", "post_start", "*"): "command user privileged working_dir environment",
    ("services", "*", "pre_stop", "*"): "command user privileged working_dir environment",
    ("services", "*", "deploy"): "mode endpoint_mode replicas labels rollback_config update_config resources "
    "restart_policy placement",
    ("services", "*", "deploy", "update_config"): "parallelism delay failure_action monitor max_failure_ratio order",
    ("services", "*", "deploy", "rollback_config"): "parallelism delay failure_action monitor max_failure_ratio order",
    ("services", "*", "deploy", "resources"): "limits reservations",
    ("services", "*", "deploy", "resources", "limits"): "cpus memory pids",
    ("networks", "*"): "name driver driver_opts ipam external internal enable_ipv4 enable_ipv6 attachable labels",
    ("networks", "*", "ipam"): "driver config options",
    ("networks", "*", "ipam", "config", "*"): "subnet ip_range gateway aux_addresses",
    ("networks", "*", "driver_opts"): "com.docker.network.driver.mtu com.docker.network.bridge.name "
    "com.docker.network.bridge.enable_icc com.docker.network.bridge.enable_ip_masquerade parent macvlan_mode "
    "ipvlan_mode ipvlan_flag",
    ("volumes", "*"): "name driver driver_opts external labels",
}
# What the reference of Docker Compose 5.8 says a job has not, and what it has in place of it.
NOT_OF_A_JOB = frozenset({"pre_start", "post_start", "pre_stop", "deploy"})
COMPOSE |= {
    ("jobs", *path[1:]): keys
    for path, keys in COMPOSE.items()
    if path[:1] == ("services",) and not NOT_OF_A_JOB & set(path)
}
COMPOSE |= {
    ("jobs", "*", "triggers"): "manual schedule",
    ("jobs", "*", "triggers", "schedule", "*"): "cron timezone concurrency missed_fires",
}


def test_file_is_up_to_date() -> None:
    assert (ROOT / "specs" / "schema.json").read_text() == text()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    data = tomllib.loads(path.read_text()) if path.suffix == ".toml" else yaml.load("a", path.read_text()).data
    jsonschema_rs.validator_for(schema()).validate(data)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"jobs": {"a": {"image": "a"}}},
        {"jobs": {"a": {"image": "a", "restart": "no", "triggers": {"schedule": ["@daily"]}}}},
        {"jobs": {"a": {"image": "a", "triggers": {"schedule": [{"cron": "@daily", "concurrency": "allow"}]}}}},
        {"services": {"web": {}}},
        {"services": {"web": {"image": "a", "prots": []}}},
        {"services": {"web": {"image": "a", "ports": "80"}}},
        {"services": {"web": {"image": "a", "healthcheck": {"test": 1}}}},
        {"services": {"web": {"image": 5}}},
        {"services": {"web": {"image": "a", "ports": [{"published": 80}]}}},
        {"services": {"web": {"image": "a", "ports": [{"target": 80, "x-allow": "10.0.0.0/8"}]}}},
        {"services": {"web": {"image": "a", "x-egress": "10.0.0.0/8"}}},
        {"services": {"web": {"image": "a", "networks": {"a": {"alias": []}}}}},
        {"services": {}, "networks": {"a": {"driver": "overlay"}}},
        {"services": {}, "networks": {"a": {"driver_opts": {"com.docker.network.driver.mut": 1400}}}},
        {"services": {}, "networks": {"a": {"ipam": {"config": [{"range": "10.0.0.0/8"}]}}}},
    ],
)
def test_mistakes_are_seen_by_editors_too(data: object) -> None:
    assert not jsonschema_rs.validator_for(schema()).is_valid(data)


def test_extensions_are_allowed() -> None:
    data = {"x-a": 1, "services": {"web": {"image": "a", "x-b": {}, "deploy": {"x-c": []}}}}
    jsonschema_rs.validator_for(schema()).validate(data)


@pytest.mark.parametrize("shape", COMPOSE, ids=lambda shape: ".".join(shape) or "top")
def test_every_key_of_compose_is_known_and_has_one_home(shape: tuple[str, ...]) -> None:
    model = MODELS[shape]
    fields, refused = set(model.written()), set(model.refused)
    assert set(COMPOSE[shape].split()) <= fields | refused
    assert not fields & refused
    assert all(reason and not reason.endswith(".") for reason in model.refused.values())


def test_every_model_is_covered() -> None:
    assert set(COMPOSE) == set(MODELS)
