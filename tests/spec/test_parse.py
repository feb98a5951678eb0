"""What a good spec means: each key of Compose, in its short and its long form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.document import PortMapping
from reconciler.core.model import BindMount, Resources, Restart, TmpfsMount, VolumeMount
from reconciler.spec.parse import parse
from tests.spec.parsing import HEAD, document, refusal, service


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("command: sh -c 'echo \"$$A b\"'", ("sh", "-c", 'echo "$A b"')),
        ('command: ["sleep", "1"]', ("sleep", "1")),
        ("command: []", ()),
        ('command: ""', ()),
        ("command:", None),
        ("init: true", None),
    ],
)
def test_command(text: str, command: tuple[str, ...] | None) -> None:
    assert service(text).command == command
    assert service(text.replace("command", "entrypoint")).entrypoint == command


def test_environment_as_mapping_and_as_list() -> None:
    expected = (("A", "1"), ("B", "x=y"), ("C", "from .env"), ("D", "true"), ("E", "1.10"), ("F", ""))
    mapping = "environment: {B: x=y, A: 1, C: , NOT: , D: true, E: 1.10, F: ''}"
    assert service(mapping, env="C='from .env'").environment == expected
    items = "environment: [B=x=y, A=1, C, NOT, D=true, E=1.10, F=]"
    assert service(items, env="C='from .env'").environment == expected


def test_environment_wins_over_later_files_over_earlier_files() -> None:
    fragment = "env_file: [one.env, {path: two.env}, {path: gone.env, required: false}]\n    environment: {C: 3}"
    found = service(fragment, one="A=1\nB=1\nC=1\nE=$V", two="B=2\nC=2", env="V=v")
    assert found.environment == (("A", "1"), ("B", "2"), ("C", "3"), ("E", "v"))


def test_files_that_were_asked_for_are_known_even_when_missing() -> None:
    text = HEAD + "env_file: [one.env, {path: gone.env, required: false}]\n"
    assert document(text, one="A=1").files == (".env", "one.env", "gone.env")


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ('"80"', [PortMapping(target=80)]),
        ("80", [PortMapping(target=80)]),
        ('"8080:80"', [PortMapping(target=80, published=(8080, 8080))]),
        ('"22:22"', [PortMapping(target=22, published=(22, 22))]),
        ("22:22", [PortMapping(target=22, published=(22, 22))]),
        ('"53:53/udp"', [PortMapping(target=53, published=(53, 53), protocol="udp")]),
        ('"127.0.0.1:8080:80"', [PortMapping(target=80, published=(8080, 8080), host_ip="127.0.0.1")]),
        ('"127.0.0.1::80"', [PortMapping(target=80, host_ip="127.0.0.1")]),
        ('"0.0.0.0:8080:80"', [PortMapping(target=80, published=(8080, 8080), host_ip="0.0.0.0")]),
        (
            '"8000-8001:80-81"',
            [PortMapping(target=80, published=(8000, 8000)), PortMapping(target=81, published=(8001, 8001))],
        ),
        ('"80-81"', [PortMapping(target=80), PortMapping(target=81)]),
        ("{target: 80, published: 8080}", [PortMapping(target=80, published=(8080, 8080))]),
        ('{target: 80, published: "8080", mode: host, name: web}', [PortMapping(target=80, published=(8080, 8080))]),
        (
            "{target: 80, protocol: udp, host_ip: 1.2.3.4, app_protocol: http, x-a: 1}",
            [PortMapping(target=80, protocol="udp", host_ip="1.2.3.4")],
        ),
        ('"${P}80:80"', [PortMapping(target=80, published=(880, 880))]),
    ],
)
def test_ports(text: str, ports: list[PortMapping]) -> None:
    found = service(f"ports: [{text}]", env="P=8").ports
    assert [(port.target, port.published, port.protocol, port.host_ip) for port in found] == [
        (port.target, port.published, port.protocol, port.host_ip) for port in ports
    ]
    assert {port.at for port in found} == {(4, 13)}


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("data:/d", VolumeMount(volume="data", target="/d")),
        ("data:/d:ro,nocopy", VolumeMount(volume="data", target="/d", read_only=True, nocopy=True)),
        ("./a:/d", BindMount(source="/srv/app/a", target="/d")),
        ("../a:/d/:rw", BindMount(source="/srv/a", target="/d")),
        (".:/d", BindMount(source="/srv/app", target="/d")),
        ("/a/b:/d:ro,rslave", BindMount(source="/a/b", target="/d", read_only=True, propagation="rslave")),
        ("/a:/d:cached", BindMount(source="/a", target="/d")),
        ("{type: bind, source: a, target: //d}", BindMount(source="/srv/app/a", target="/d")),
        (
            "{type: bind, source: /a, target: /d, read_only: on, bind: {create_host_path: no, propagation: shared}}",
            BindMount(source="/a", target="/d", read_only=True, create_host_path=False, propagation="shared"),
        ),
        (
            "{type: volume, source: data, target: /d, volume: {nocopy: yes}}",
            VolumeMount(volume="data", target="/d", nocopy=True),
        ),
        ("{type: tmpfs, target: /d}", TmpfsMount(target="/d")),
        (
            "{type: tmpfs, target: /d, tmpfs: {size: 1m, mode: 01777}}",
            TmpfsMount(target="/d", size=1 << 20, mode=0o1777),
        ),
        ("{type: tmpfs, target: /d, tmpfs: {size: 5, mode: 511}}", TmpfsMount(target="/d", size=5, mode=0o777)),
        ("{type: tmpfs, target: /d, tmpfs: {mode: '0o700'}, consistency: cached}", TmpfsMount(target="/d", mode=0o700)),
    ],
)
def test_volumes(text: str, mount: object) -> None:
    text = text if text.startswith("{") else f'"{text}"'
    found = document(HEAD + f"volumes: [{text}]\nvolumes: {{data: }}\n").services[0]
    assert found.mounts == (mount,)


def test_tmpfs_in_both_forms() -> None:
    assert service("tmpfs: /run").mounts == (TmpfsMount(target="/run"),)
    found = service("tmpfs: ['/run:size=64k,mode=700,noexec,uid=5', '/tmp:ro']").mounts
    assert found == (
        TmpfsMount(target="/run", size=65536, mode=0o700, options=("noexec", "uid=5")),
        TmpfsMount(target="/tmp", read_only=True),
    )


@pytest.mark.parametrize(
    ("text", "restart"),
    [
        ("no", Restart()),
        ('"no"', Restart()),
        ("always", Restart(policy="always")),
        ("on-failure", Restart(policy="on-failure")),
        ("on-failure:3", Restart(policy="on-failure", max_retries=3)),
        ("unless-stopped", Restart(policy="unless-stopped")),
    ],
)
def test_restart(text: str, restart: Restart) -> None:
    assert service(f"restart: {text}").restart == restart


@pytest.mark.parametrize(
    ("text", "resources"),
    [
        ("mem_limit: 64m", Resources(memory=64 << 20)),
        ("mem_limit: 67108864", Resources(memory=64 << 20)),
        ("mem_limit: 0", Resources()),
        ("cpus: 0.5", Resources(cpus=0.5)),
        ('cpus: "0.50"', Resources(cpus=0.5)),
        ("cpus: 0", Resources()),
        ("pids_limit: 5", Resources(pids=5)),
        ("pids_limit: -1", Resources(pids=-1)),
        ("pids_limit: 0", Resources(pids=-1)),
        ("deploy: {resources: {limits: {memory: 1g, cpus: 2, pids: 9}}}", Resources(memory=1 << 30, cpus=2.0, pids=9)),
        ("mem_limit: 1g\n    deploy: {resources: {limits: {memory: 1024m}}}", Resources(memory=1 << 30)),
    ],
)
def test_limits(text: str, resources: Resources) -> None:
    assert service(text).resources == resources


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("user: '1000:1000'", "user", "1000:1000"),
        ("working_dir: /srv", "working_dir", "/srv"),
        ("stop_signal: SIGQUIT", "stop_signal", "SIGQUIT"),
        ("stop_signal: quit", "stop_signal", "SIGQUIT"),
        ("stop_signal: 3", "stop_signal", "SIGQUIT"),
        ("stop_signal: SIGRTMIN+3", "stop_signal", "SIGRTMIN+3"),
        ("stop_grace_period: 1m30s", "stop_grace_period", 90.0),
        ("init: true", "init", True),
        ("read_only: ${B}", "read_only", True),
        ("cap_add: [SYS_TIME, net_admin, CAP_NET_ADMIN]", "cap_add", ("NET_ADMIN", "SYS_TIME")),
        ("cap_drop: [all]", "cap_drop", ("ALL",)),
        ("labels: {b: 1, a: }", "labels", (("a", ""), ("b", "1"))),
        ("labels: [b=1, a]", "labels", (("a", ""), ("b", "1"))),
        ("labels: {x-a: b}", "labels", (("x-a", "b"),)),
        ("deploy: {replicas: 3}", "replicas", 3),
        ("deploy: {replicas: ${N}}", "replicas", 2),
        ("deploy: ", "replicas", 1),
        ("x-anything: [1]", "replicas", 1),
    ],
)
def test_single_values(text: str, name: str, value: object) -> None:
    assert getattr(service(text.replace(" ${N}", ' "${N}"'), env="N=2\nB=true"), name) == value


def test_networks_volumes_and_dependencies() -> None:
    found = document(
        "name: shop\nversion: '3.8'\nx-top: 1\nservices:\n"
        "  web: {image: nginx, networks: [front], depends_on: [db]}\n"
        "  db: {image: 'oci:../images/db:1'}\n"
        "networks:\n  front: {name: public, driver: bridge, labels: [a=b], x-n: 1}\n"
        "volumes:\n  data:\n  theirs: {external: true, name: shared}\n"
    )
    assert found.name == "shop"
    assert [each.attachment.network for each in found.services[0].networking.connections] == ["front"]
    assert [(entry.service, entry.at) for entry in found.services[0].depends_on] == [("db", (5, 55))]
    assert found.services[1].image == "oci:/srv/images/db:1"
    assert [(entry.key, entry.network.name, entry.network.labels) for entry in found.networks] == [
        ("default", "", ()),
        ("front", "public", (("a", "b"),)),
    ]
    assert [(entry.key, entry.name, entry.external) for entry in found.volumes] == [
        ("data", "", False),
        ("theirs", "shared", True),
    ]


def test_toml_and_yaml_mean_the_same() -> None:
    toml = document('[services.web]\nimage = "a"\nports = ["1:1"]\ndeploy.replicas = 2\n', "app.toml").services[0]
    yaml = document("services:\n  web:\n    image: a\n    ports: ['1:1']\n    deploy: {replicas: 2}\n").services[0]
    assert (toml.image, toml.replicas, toml.ports[0].published) == (yaml.image, yaml.replicas, yaml.ports[0].published)


def test_byte_order_mark_and_carriage_returns_are_accepted() -> None:
    for name, text in (
        ("a.yaml", "services:\r\n  web:\r\n    image: a\r\n"),
        ("a.toml", "[services.web]\r\nimage='a'\r\n"),
    ):
        assert parse(name, b"\xef\xbb\xbf" + text.encode(), _none).services[0].name == "web"


def test_unset_variables_are_empty_and_warned_about() -> None:
    found = document(HEAD + "hostname: a${NOT}\n")
    assert found.services[0].networking.hostname == "a"
    assert [str(warning) for warning in found.warnings] == [
        "app.yaml:4:15: variable 'NOT' is not set in .env; it is taken as empty"
    ]


def test_the_environment_of_the_process_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRANGER", "x")
    assert service("hostname: a$STRANGER").networking.hostname == "a"


def test_keys_are_not_interpolated() -> None:
    assert service("labels: {$A: b}", env="A=x").labels == (("$A", "b"),)


def _none(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", path)


KEYS = st.sampled_from(
    [
        "services",
        "web",
        "image",
        "ports",
        "volumes",
        "deploy",
        "resources",
        "limits",
        "environment",
        "networks",
        "x-a",
        "command",
    ]
)
VALUES = st.none() | st.booleans() | st.integers() | st.text("a0:/.-$ {}", max_size=8)
TREES = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, TREES, max_size=4) | st.fixed_dictionaries({"services": st.dictionaries(KEYS, TREES)}))
def test_never_anything_but_a_spec_error(data: object) -> None:
    import json

    error = refusal(lambda: parse("a.yaml", json.dumps(data).encode(), _none))
    assert error is None or str(error).startswith("a.yaml:1:")
