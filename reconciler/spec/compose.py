"""The Compose document as a user may write it: one pydantic model per mapping.

Short forms are expanded by validators before their model sees them. What Compose knows and we refuse stands in
`refusals`; `x-` keys are dropped wherever Compose allows them. The models judge single values only: what needs two of
them at once, other files or names stands in `convert`. Nothing outside `spec` sees these classes.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from reconciler.spec import forms, refusals
from reconciler.spec.types import (
    AbsolutePath,
    Address,
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
    Platform,
    Processors,
    PullPolicy,
    Replicas,
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


class Model(BaseModel):
    """A mapping of the document. `refused`: keys that Compose knows and we do not do yet, with the reason."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"patternProperties": {"^x-": {}}}, use_attribute_docstrings=True
    )
    refused: ClassVar[refusals.Reasons] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_extensions(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if not key.startswith("x-")}


class Port(Model):
    """One published port."""

    target: Span
    published: Span | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: Address = ""
    mode: Literal["host", "ingress"] = "ingress"
    name: Text = ""
    app_protocol: Text = ""


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
    """How a service joins a network; all of Compose's keys are refused for now."""

    refused: ClassVar[refusals.Reasons] = refusals.ATTACHMENT


class Limits(Model):
    """The most a container may use."""

    refused: ClassVar[refusals.Reasons] = refusals.LIMITS
    cpus: Processors | None = None
    memory: Memory | None = None
    pids: Whole | None = None


class Resources(Model):
    """Resources of a service."""

    refused: ClassVar[refusals.Reasons] = refusals.RESOURCES
    limits: Annotated[Limits, BeforeValidator(forms.empty)] = Limits()


class Deploy(Model):
    """How many containers, and how large."""

    refused: ClassVar[refusals.Reasons] = refusals.DEPLOY
    replicas: Replicas = 1
    resources: Annotated[Resources, BeforeValidator(forms.empty)] = Resources()


def _listed(value: object) -> object:
    if isinstance(value, dict):
        raise forms.FormError("conditions are not supported yet; write a list of services")
    return value


def _env_file(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


_PortEntry = Annotated[Port, BeforeValidator(forms.port, json_schema_input_type=int | str | Port)]
_MountEntry = Annotated[Mount, BeforeValidator(forms.mount, json_schema_input_type=str | Mount)]
_EnvFileEntry = Annotated[EnvFile, BeforeValidator(_env_file, json_schema_input_type=str | EnvFile)]


class Service(Model):
    """One service of an app."""

    refused: ClassVar[refusals.Reasons] = refusals.SERVICE
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
    depends_on: Annotated[tuple[Key, ...], BeforeValidator(_listed)] = ()
    restart: RestartPolicy = "no"
    labels: Labels = {}
    stop_signal: Signal = ""
    stop_grace_period: Duration = 10.0
    cap_add: tuple[Capability, ...] = ()
    cap_drop: tuple[Capability, ...] = ()
    read_only: Switch = False
    tmpfs: Several = ()
    hostname: Hostname = ""
    init: Switch = False
    platform: Platform = ""
    """OS/ARCHITECTURE[/VARIANT] of the image, as in linux/arm64; without it, that of this host."""
    pull_policy: PullPolicy = "missing"
    """When the registry is asked what the tag names: missing, always, never, daily, weekly or every_DURATION."""
    mem_limit: Memory | None = None
    cpus: Processors | None = None
    pids_limit: Whole | None = None
    deploy: Annotated[Deploy, BeforeValidator(forms.empty)] = Deploy()


class Network(Model):
    """A network of the app."""

    refused: ClassVar[refusals.Reasons] = refusals.NETWORK
    name: FullName = ""
    driver: Literal["bridge", "default"] = "bridge"
    labels: Labels = {}


class Volume(Model):
    """A named volume of the app."""

    refused: ClassVar[refusals.Reasons] = refusals.VOLUME
    name: FullName = ""
    driver: Literal["local", "default"] = "local"
    external: Switch = False
    labels: Labels = {}


_NetworkEntry = Annotated[Network, BeforeValidator(forms.empty, json_schema_input_type=Network | None)]
_VolumeEntry = Annotated[Volume, BeforeValidator(forms.empty, json_schema_input_type=Volume | None)]


class Compose(Model):
    """A spec: one app."""

    refused: ClassVar[refusals.Reasons] = refusals.COMPOSE
    version: Any = None
    """Obsolete and ignored."""
    name: AppName = ""
    """The app's name; without it, the file's name without its ending, or the folder of a compose.yaml."""
    services: dict[Key, Service]
    networks: Annotated[dict[Key, _NetworkEntry], BeforeValidator(forms.empty)] = {}
    volumes: Annotated[dict[Key, _VolumeEntry], BeforeValidator(forms.empty)] = {}


Shape = tuple[str, ...]

# Which model stands where; "*" stands for a name or an index.
MODELS: Final[dict[Shape, type[Model]]] = {
    (): Compose,
    ("services", "*"): Service,
    ("services", "*", "ports", "*"): Port,
    ("services", "*", "volumes", "*"): Mount,
    ("services", "*", "volumes", "*", "bind"): Bind,
    ("services", "*", "volumes", "*", "volume"): VolumeOptions,
    ("services", "*", "volumes", "*", "tmpfs"): TmpfsOptions,
    ("services", "*", "env_file", "*"): EnvFile,
    ("services", "*", "networks", "*"): Attachment,
    ("services", "*", "deploy"): Deploy,
    ("services", "*", "deploy", "resources"): Resources,
    ("services", "*", "deploy", "resources", "limits"): Limits,
    ("networks", "*"): Network,
    ("volumes", "*"): Volume,
}
