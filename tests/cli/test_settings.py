"""Where settings come from, which of them win, and how a slip is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli import settings as module
from reconciler.cli.settings import OPTIONS, SettingsError, read_settings
from reconciler.settings import HistoryLimits, ImageLimits, LogLimits, Settings, TrustRule


@pytest.fixture(autouse=True)
def no_file_of_this_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "FILE", tmp_path / "nothing.toml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reconciler.toml"


def test_without_a_word_everything_is_the_default() -> None:
    assert read_settings({}, {}) == Settings()


def test_argv_wins_over_the_environment_and_that_over_the_file(file: Path) -> None:
    file.write_text('instance = "file"\nruntime = "file"\nmonitor = "file"\n')
    environment = {"RECONCILER_CONFIG": str(file), "RECONCILER_INSTANCE": "env", "RECONCILER_RUNTIME": "env"}
    settings = read_settings({"instance": "argv", "runtime": None}, environment)
    assert (settings.instance, settings.runtime, settings.monitor) == ("argv", "env", "file")


def test_every_setting_can_stand_in_the_file(file: Path) -> None:
    file.write_text("""
        specs = "/srv/specs"
        state = "/srv/state"
        restart_unhealthy = false
        run_directory = "/run/two"
        instance = "two"
        runtime = "crun"
        monitor = "/usr/bin/conmon"
        cgroup_driver = "systemd"
        socket_group = "ops"
        address_pool = "10.8.0.0/16"
        network_prefix = 26
        packet_mark = 0x4000000
        cni_path = ["/srv/cni"]
        resync = 5
        workers = 8
        pulls = 2
        image_age = 3600
        image_disk = 70
        max_removal = 5
        log_size = "1m"
        log_files = 3
        history_entries = 7
        history_size = "1m"
        insecure_registries = ["localhost:5000"]
        registry_ca = "/etc/ca.pem"
        registry_mirrors = ["docker.io=http://localhost:5000"]
        registry_hosts = "/etc/certs.d"
        registry_auth = "/etc/auth.json"
    """)
    assert read_settings({"config": str(file)}, {}) == Settings(
        instance="two", specs=Path("/srv/specs"), state=Path("/srv/state"), run=Path("/run/two"), runtime="crun",
        monitor="/usr/bin/conmon", cgroup_driver="systemd", socket_group="ops", address_pool="10.8.0.0/16",
        cni_path=("/srv/cni",), network_prefix=26, packet_mark=1 << 26, resync=5.0, workers=8, pulls=2,
            restart_unhealthy=False, max_removal=5,
        history=HistoryLimits(entries=7, size=1 << 20),
        logs=LogLimits(size=1 << 20, files=3), insecure_registries=("localhost:5000",), image_age=3600, image_disk=70,
        registry_ca=Path("/etc/ca.pem"), registry_auth=Path("/etc/auth.json"),
        registry_mirrors=("docker.io=http://localhost:5000",), registry_hosts=Path("/etc/certs.d"),
    )  # fmt: skip
    assert len(file.read_text().strip().splitlines()) == len(OPTIONS)


@pytest.mark.parametrize("mark", ["", "0", "3", "0x100000000", "-4", 1.0, True, "x", [1]])
def test_a_mark_is_one_bit(mark: object) -> None:
    with pytest.raises(SettingsError, match="one bit of 32"):
        read_settings({"packet_mark": mark}, {})


def test_a_mark_may_be_written_in_any_base() -> None:
    assert read_settings({"packet_mark": "0x1000"}, {}).packet_mark == 0x1000
    assert read_settings({"packet_mark": "65536"}, {}).packet_mark == 1 << 16


def test_text_means_the_same_as_a_value(file: Path) -> None:
    texts = {"RECONCILER_RESYNC": "2.5", "RECONCILER_WORKERS": "3", "RECONCILER_INSECURE_REGISTRIES": "a:1, b"}
    settings = read_settings({"log_size": "10k"}, texts)
    assert (settings.resync, settings.workers, settings.logs.size) == (2.5, 3, 10240)
    assert settings.insecure_registries == ("a:1", "b")
    assert read_settings({"cni_path": "/a:/b"}, {}).cni_path == ("/a", "/b")


@pytest.mark.parametrize("path", ["bin", "/a::/b", 1, ["a"]])
def test_plugins_are_looked_for_in_folders(path: object) -> None:
    with pytest.raises(SettingsError, match="it must be a list of absolute paths"):
        read_settings({"cni_path": path}, {})


def test_a_relative_path_is_meant_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings({"specs": "demo"}, {}).specs == tmp_path / "demo"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("spec = 'x'", "cannot use spec in .*: there is no such setting; did you mean specs?"),
        ("[logs]\nsize = 1", "cannot use logs in .*: there is no such setting"),
        ("workers = 0", "cannot use workers in .*: it must be a whole number from 1 to 64"),
        ("workers = true", "cannot use workers in"),
        ("workers = 1.5", "cannot use workers in"),
        ("resync = nan", "cannot use resync in .*: it must be a number of seconds"),
        ("resync = false", "cannot use resync in"),
        ("cgroup_driver = 'v2'", "it must be one of auto, cgroupfs, systemd"),
        ("specs = 3", "cannot use specs in .*: it must be text"),
        ("specs = ''", "cannot use specs in .*: it must be text"),
        ("instance = 'a/b'", "cannot use instance in .*: it must be letters, digits and single dashes"),
        ("log_size = 'much'", "cannot use log_size in .*: it must be a number of bytes"),
        ("address_pool = '10.0.0.1/8'", "cannot use address_pool in .*: it must be an IPv4 network"),
        ("insecure_registries = [1]", "it must be a list of hosts"),
        ("specs = ", "cannot read .*: Invalid value"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(file: Path, line: str, message: str) -> None:
    file.write_text(line)
    with pytest.raises(SettingsError, match=message) as error:
        read_settings({"config": str(file)}, {})
    assert "\n" not in str(error.value)


def test_a_file_that_was_named_must_be_there(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*: there is no such file"):
        read_settings({"config": str(file)}, {})
    with pytest.raises(SettingsError, match=r"cannot read .*: Is a directory"):
        read_settings({"config": str(file.parent)}, {})


def test_a_file_that_is_no_text_is_said_so(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot read"):
        read_settings({"config": str(file)}, {})


def test_a_slip_in_the_environment_is_refused_and_the_variables_of_others_are_not() -> None:
    with pytest.raises(SettingsError, match=r"cannot use RECONCILER_SPEC: .* did you mean specs\?"):
        read_settings({}, {"RECONCILER_SPEC": "/x"})
    assert read_settings({}, {"RECONCILER_DEBUG": "1", "RECONCILER_BANANA": "yes", "PATH": "/bin"}) == Settings()


def test_argv_is_named_as_it_was_written() -> None:
    with pytest.raises(SettingsError, match="cannot use --network-prefix: it must be a whole number from 8 to 30"):
        read_settings({"network_prefix": "31"}, {})


@given(
    st.sampled_from(OPTIONS), st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
)
def test_any_value_is_read_or_refused_with_a_sentence(option: module.Option, value: object) -> None:
    try:
        option.read(value)
        said = "it must be what it is"
    except ValueError as error:
        said = str(error)
    assert said.startswith("it must be ")


def test_trust_and_limits_are_tables_of_the_file(file: Path) -> None:
    file.write_text("""
        [trust]
        default = "require-digest"
        "docker.io/library" = "accept"
        "registry.example/team" = { policy = "signed", key = "/etc/team.pub" }
        [images]
        compressed = "1g"
        unpacked = 4096
        entries = 10
        ratio = 20
        depth = 30
        manifest = 1000
        config = 2000
        layers = 5
        seconds = 60
        reserve = "1m"
    """)
    settings = read_settings({"config": str(file)}, {})
    assert settings.trust == (
        TrustRule(scope="default", policy="require-digest"),
        TrustRule(scope="docker.io/library"),
        TrustRule(scope="registry.example/team", policy="signed", key=Path("/etc/team.pub")),
    )
    assert settings.image_limits == ImageLimits(
        compressed=1 << 30, unpacked=4096, entries=10, ratio=20, depth=30, manifest=1000, config=2000, layers=5,
        seconds=60, reserve=1 << 20,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("trust = 5", "trust in {}: it must be a table of scopes"),
        ('[trust]\nnginx = "accept"', "trust in {}: 'nginx' is no scope; write default, a host"),
        ('[trust]\ndefault = "acept"', "trust in {}: the policy of default must be one of accept, reject"),
        ("[trust]\ndefault = {}", "trust in {}: the policy of default must be one of accept"),
        ('[trust]\ndefault = "signed"', "trust in {}: the key of default belongs to the policy signed, and that"),
        ('[trust.default]\npolicy = "accept"\nkey = "/a"', "trust in {}: the key of default belongs to the policy"),
        ('[trust.default]\npolicy = "signed"\nkey = "a"', "trust in {}: the key of default must be the absolute path"),
        ('[trust.default]\npolicy = "signed"\nkeys = []', "trust in {}: 'keys' of default is not known"),
        ("images = 5", "images in {}: it must be a table"),
        ("[images]\nlayer = 5", "images in {}: there is no limit layer; there are compressed, unpacked"),
        ("[images]\nlayers = 129", "images in {}: layers: it must be a whole number from 1 to 128"),
        ('[images]\ncompressed = "x"', "images in {}: compressed: it must be a number of bytes"),
    ],
)
def test_slips_in_tables(text: str, why: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings({"config": str(file)}, {})
    assert str(caught.value).startswith(f"cannot use {why.format(file)}")
