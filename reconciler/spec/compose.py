"""The Compose document as a user may write it: one pydantic model per mapping.

Short forms are expanded by validators before their model sees them. What Compose knows and we refuse stands in
`refusals`; `x-` keys are dropped wherever Compose allows them. The models judge single values only: what needs two of
them at once, other files or names stands in `convert`. Nothing outside `spec` sees these classes.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from reconciler.spec import forms, refusals
from reconciler.spec.addressing import (
    Address,
    Alias,
    Allow,
    Exposed,
    HostIP,
    Hosts,
    IPv4,
    IPv6,
    Link,
    Mac,
    ResolverOptions,
    Searches,
    Servers,
    Subnet,
    Sysctls,
)
from reconciler.spec.destinations import Egress
from reconciler.spec.model import Model
from reconciler.spec.starting import Healthcheck, Hook, Needed, Step
from reconciler.spec.tree import Path
from reconciler.spec.triggers import Fires, History, Timed, Triggers
from reconciler.spec.types import (
    AbsolutePath,
    AppName,
    Capability,
    Command,
    Duration,
    FullName,
    Hostname,
    Key,
    Labels,
    Memory,
    Mode,
    Mtu,
    Platform,
    Processors,
    PullPolicy,
    RestartPolicy,
    Several,
    Signal,
    Size,
    Span,
    Switch,
    Text,
    User,
    Variables,
    Whole,
)
from reconciler.spec.updating import Deploy, Limits, Resources, Rollback, Update


class Port(Model):
    """One published port."""

    target: Span
    published: Span | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: HostIP | None = None
    """Without it, every address of the host; 0.0.0.0 is every one of IPv4, and :: of IPv6."""
    mode: Literal["host", "ingress"] = "ingress"
    name: Text = ""
    app_protocol: Text = ""
    allow: Allow | None = Field(None, alias="x-allow")
    """The networks that may connect; without it everybody, with an empty list nobody."""


class Bind(Model):
    """What only a bind mount has."""

    refused: ClassVar[refusals.Reasons] = refusals.BIND
    propagation: Literal["rprivate", "private", "rshared", "shared", "rslave", "slave"] = "rprivate"
    create_host_path: Switch = True


class VolumeOptions(Model):
    """What only a named volume has."""

    refused: ClassVar[refusals.Reasons] = refusals.VOLUME_MOUNT
    nocopy: Switch = False


class TmpfsOptions(Model):
    """What only a tmpfs has."""

    size: Size | None = None
    mode: Mode | None = None


class Mount(Model):
    """One entry of a service's `volumes`."""

    refused: ClassVar[refusals.Reasons] = refusals.MOUNT
    type: Literal["volume", "bind", "tmpfs"]
    source: Text = ""
    target: AbsolutePath
    read_only: Switch = False
    consistency: Text = ""
    bind: Annotated[Bind, BeforeValidator(forms.empty)] = Bind()
    volume: Annotated[VolumeOptions, BeforeValidator(forms.empty)] = VolumeOptions()
    tmpfs: Annotated[TmpfsOptions, BeforeValidator(forms.empty)] = TmpfsOptions()


class EnvFile(Model):
    """One file of variables."""

    refused: ClassVar[refusals.Reasons] = refusals.ENV_FILE
    path: Text
    required: Switch = True


class Attachment(Model):
    """How a service joins a network."""

    refused: ClassVar[refusals.Reasons] = refusals.ATTACHMENT
    aliases: tuple[Alias, ...] = ()
    ipv4_address: IPv4 | None = None
    ipv6_address: IPv6 | None = None
    mac_address: Mac | None = None
    interface_name: Link | None = None
    priority: Whole = 0
    """Interfaces are in order of this, the highest first, and then of the networks' names."""
    gw_priority: Whole = 0
    """The default route leads through the network where this is highest."""


def _needed(value: object) -> object:
    """A list of services, each of which must have been started."""
    if not isinstance(value, list):
        return forms.empty(value)
    return {name: {"condition": "service_started"} for name in cast("dict[str, None]", forms.names(value))}


def _env_file(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


_PortEntry = Annotated[Port, BeforeValidator(forms.port, json_schema_input_type=int | str | Port)]
_MountEntry = Annotated[Mount, BeforeValidator(forms.mount, json_schema_input_type=str | Mount)]
_EnvFileEntry = Annotated[EnvFile, BeforeValidator(_env_file, json_schema_input_type=str | EnvFile)]


class Workload(Model):
    """What a service and a job have in common: one container."""

    image: Text
    """What to run: a reference as for `docker pull`, or oci:PATH[:TAG] for an OCI layout on disk."""
    command: Command = None
    entrypoint: Command = None
    environment: Variables = {}
    env_file: Annotated[
        tuple[_EnvFileEntry, ...],
        BeforeValidator(forms.several, json_schema_input_type=str | list[_EnvFileEntry]),
    ] = ()
    """Files of variables, relative to the spec."""
    working_dir: AbsolutePath = ""
    user: User = ""
    ports: tuple[_PortEntry, ...] = ()
    volumes: tuple[_MountEntry, ...] = ()
    networks: Annotated[
        dict[Key, Annotated[Attachment, BeforeValidator(forms.empty, json_schema_input_type=Attachment | None)]],
        BeforeValidator(forms.names, json_schema_input_type=list[str] | dict[str, Attachment | None]),
    ] = {}
    depends_on: Annotated[
        dict[Key, Needed], BeforeValidator(_needed, json_schema_input_type=list[str] | dict[str, Needed])
    ] = {}
    healthcheck: Annotated[Healthcheck, BeforeValidator(forms.empty)] | None = None
    labels: Labels = {}
    stop_signal: Signal = ""
    stop_grace_period: Duration = 10.0
    cap_add: tuple[Capability, ...] = ()
    cap_drop: tuple[Capability, ...] = ()
    read_only: Switch = False
    tmpfs: Several = ()
    hostname: Hostname = ""
    domainname: Hostname = ""
    network_mode: Text = ""
    """host, none, service:NAME, or bridge for the app's default network."""
    mac_address: Mac | None = None
    dns: Servers = ()
    """Who is asked for names that are no services; without it, those whom the host asks."""
    dns_search: Searches = ()
    dns_opt: ResolverOptions = ()
    extra_hosts: Hosts = ()
    expose: tuple[Exposed, ...] = ()
    sysctls: Sysctls = ()
    allow: Allow | None = Field(None, alias="x-allow")
    """The networks that may connect to the published ports that do not say it themselves."""
    egress: tuple[Egress, ...] | None = Field(None, alias="x-egress")
    """Where it may connect to: NETWORK or NAME, with :PORT and /tcp or /udp; an empty list is nowhere."""
    init: Switch = False
    platform: Platform = ""
    """OS/ARCHITECTURE[/VARIANT] of the image, as in linux/arm64; without it, that of this host."""
    pull_policy: PullPolicy = "missing"
    """When the registry is asked what the tag names: missing, always, never, daily, weekly or every_DURATION."""
    mem_limit: Memory | None = None
    cpus: Processors | None = None
    pids_limit: Whole | None = None


class Service(Workload):
    """One service of an app."""

    refused: ClassVar[refusals.Reasons] = refusals.SERVICE
    pre_start: tuple[Step, ...] = ()
    """Run one after the other, each in a container of its own, before a new container of the service is made."""
    post_start: tuple[Hook, ...] = ()
    """Run one after the other each time after the container was started."""
    pre_stop: tuple[Hook, ...] = ()
    """Run one after the other before the container is asked to stop."""
    restart: RestartPolicy = "no"
    drain: Duration = Field(10.0, alias="x-drain")
    """How long established connections have before an instance that was replaced is stopped."""
    deploy: Annotated[Deploy, BeforeValidator(forms.empty)] = Deploy()


class Job(Workload):
    """A container that runs to its end, each time anew."""

    refused: ClassVar[refusals.Reasons] = refusals.JOB
    triggers: Timed
    history: History = Field(3, alias="x-history")
    """Of how many runs that have ended the container stays, with its log."""


class IpamConfig(Model):
    """The addresses of a network in one family."""

    subnet: Subnet | None = None
    gateway: Address | None = None
    ip_range: Subnet | None = None
    """Where addresses are handed out from."""
    aux_addresses: Annotated[dict[Text, Address], BeforeValidator(forms.empty)] = {}
    """Addresses that are never handed out."""


class Ipam(Model):
    """The addresses of a network."""

    refused: ClassVar[refusals.Reasons] = refusals.IPAM
    driver: Literal["default"] = "default"
    config: tuple[IpamConfig, ...] = ()


class DriverOptions(Model):
    """What only networks of some drivers have."""

    refused: ClassVar[refusals.Reasons] = refusals.DRIVER_OPTIONS
    mtu: Mtu | None = Field(None, alias="com.docker.network.driver.mtu")
    bridge: Link | None = Field(None, alias="com.docker.network.bridge.name")
    parent: Link | None = None
    """The host's interface that macvlan and ipvlan stand on."""
    macvlan_mode: Literal["bridge", "private", "vepa", "passthru"] | None = None
    ipvlan_mode: Literal["l2", "l3", "l3s"] | None = None
    config: Text | None = None
    """The file of a CNI configuration, relative to the spec."""


def _external(value: object) -> object:
    if isinstance(value, dict):
        raise forms.FormError("write 'external: true', and 'name' beside it")
    return value


def _always(value: bool) -> bool:
    if not value:
        raise forms.FormError("a network always has IPv4; leave it out")
    return value


class Network(Model):
    """A network of the app, or of another one when it is external."""

    name: FullName = ""
    driver: Literal["bridge", "macvlan", "ipvlan", "cni", "default"] = "bridge"
    driver_opts: Annotated[DriverOptions, BeforeValidator(forms.empty)] = DriverOptions()
    internal: Switch = False
    enable_ipv4: Annotated[Switch, AfterValidator(_always)] = True
    enable_ipv6: Switch = False
    ipam: Annotated[Ipam, BeforeValidator(forms.empty)] = Ipam()
    external: Annotated[Switch, BeforeValidator(_external, json_schema_input_type=bool | str)] = False
    attachable: Switch = False
    labels: Labels = {}


class Volume(Model):
    """A named volume of the app."""

    refused: ClassVar[refusals.Reasons] = refusals.VOLUME
    name: FullName = ""
    driver: Literal["local", "default"] = "local"
    external: Switch = False
    exclusive: Switch | None = Field(None, alias="x-exclusive")
    """Whether two containers may never use it at the same time; without it, only a declared start-first lets them."""
    labels: Labels = {}


_NetworkEntry = Annotated[Network, BeforeValidator(forms.empty, json_schema_input_type=Network | None)]
_VolumeEntry = Annotated[Volume, BeforeValidator(forms.empty, json_schema_input_type=Volume | None)]


class Compose(Model):
    """A spec: one app."""

    model_config = ConfigDict(
        json_schema_extra={
            "patternProperties": {"^x-": {}},
            "anyOf": [{"required": [key]} for key in ("services", "jobs")],
        }
    )
    refused: ClassVar[refusals.Reasons] = refusals.COMPOSE
    version: Any = None
    """Obsolete and ignored."""
    name: AppName = ""
    """The app's name; without it, the file's name without its ending, or the folder of a compose.yaml."""
    services: dict[Key, Service] = {}
    jobs: Annotated[dict[Key, Job], BeforeValidator(forms.empty)] = {}
    """Containers that run to their end, on a schedule."""
    networks: Annotated[dict[Key, _NetworkEntry], BeforeValidator(forms.empty)] = {}
    volumes: Annotated[dict[Key, _VolumeEntry], BeforeValidator(forms.empty)] = {}

    @model_validator(mode="after")
    def _some(self) -> Compose:
        if not self.model_fields_set & {"services", "jobs"}:
            raise forms.FormError("it needs 'services'")
        return self

    @property
    def workloads(self) -> dict[Path, Workload]:
        """Services and jobs, by where they stand."""
        services: dict[Path, Workload] = {("services", name): entry for name, entry in self.services.items()}
        return services | {("jobs", name): entry for name, entry in self.jobs.items()}


Shape = tuple[str, ...]

# Which model stands where; "*" stands for a name or an index.
_OF_A_WORKLOAD: Final[dict[Shape, type[Model]]] = {
    ("ports", "*"): Port,
    ("volumes", "*"): Mount,
    ("volumes", "*", "bind"): Bind,
    ("volumes", "*", "volume"): VolumeOptions,
    ("volumes", "*", "tmpfs"): TmpfsOptions,
    ("env_file", "*"): EnvFile,
    ("networks", "*"): Attachment,
    ("depends_on", "*"): Needed,
    ("healthcheck",): Healthcheck,
}
MODELS: Final[dict[Shape, type[Model]]] = {
    (): Compose,
    ("services", "*"): Service,
    **{("services", "*", *path): model for path, model in _OF_A_WORKLOAD.items()},
    ("services", "*", "pre_start", "*"): Step,
    ("services", "*", "post_start", "*"): Hook,
    ("services", "*", "pre_stop", "*"): Hook,
    ("services", "*", "deploy"): Deploy,
    ("services", "*", "deploy", "update_config"): Update,
    ("services", "*", "deploy", "rollback_config"): Rollback,
    ("services", "*", "deploy", "resources"): Resources,
    ("services", "*", "deploy", "resources", "limits"): Limits,
    ("jobs", "*"): Job,
    **{("jobs", "*", *path): model for path, model in _OF_A_WORKLOAD.items()},
    ("jobs", "*", "triggers"): Triggers,
    ("jobs", "*", "triggers", "schedule", "*"): Fires,
    ("networks", "*"): Network,
    ("networks", "*", "driver_opts"): DriverOptions,
    ("networks", "*", "ipam"): Ipam,
    ("networks", "*", "ipam", "config", "*"): IpamConfig,
    ("volumes", "*"): Volume,
}


def shape(path: Path) -> Shape:
    """`path` as a key of MODELS: names of services, networks and volumes, and indexes, are stars."""

    def named(index: int) -> bool:
        return index == 1 or (index == 3 and path[2] in ("networks", "depends_on"))

    return tuple("*" if isinstance(part, int) or named(index) else part for index, part in enumerate(path))
