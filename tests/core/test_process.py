"""Arguments, environment, users, capabilities and signals, as Docker decides them; hostile images (C-01 to C-10)."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import Container, ImageConfig
from reconciler.core.process import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    INFINITY,
    PATH,
    RLIMITS,
    User,
    arguments,
    capabilities,
    environment,
    rlimits,
    signal_name,
    signal_number,
    stop_signal,
    user,
    working_dir,
)
from reconciler.errors import HostError
from tests.core.worlds import attached

WEB = Container(
    name="app-web-1",
    app="app",
    service="web",
    replica=1,
    spec="app.yaml",
    image="nginx",
    networks=attached("app_default"),
)
IMAGE = ImageConfig(entrypoint=("/entry",), command=("serve",))


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        (None, None, ("/entry", "serve")),
        (None, ("other",), ("/entry", "other")),
        (None, (), ("/entry",)),
        (("/mine",), None, ("/mine",)),
        (("/mine",), ("x", "y"), ("/mine", "x", "y")),
        ((), ("x",), ("x",)),
    ],
)
def test_arguments(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    assert arguments(replace(WEB, entrypoint=entrypoint, command=command), IMAGE) == expected


@pytest.mark.parametrize("entrypoint", [(), ("",), ("a\0b",)])
def test_nothing_to_run_is_an_error(entrypoint: tuple[str, ...]) -> None:
    with pytest.raises(HostError, match="cannot create container app-web-1"):
        arguments(replace(WEB, entrypoint=entrypoint), ImageConfig())


def test_environment_each_name_once_the_spec_s_last() -> None:
    image = ImageConfig(environment=("A=image", "B=x=y", "NOVALUE", "=odd", "PATH=/bin"))
    container = replace(WEB, environment=(("A", "spec"), ("EMPTY", "")))
    expected = ("PATH=/bin", "HOSTNAME=web", "A=spec", "B=x=y", "EMPTY=", "HOME=/home/web")
    assert environment(container, image, "web", "/home/web") == expected


def test_environment_without_any() -> None:
    assert environment(WEB, ImageConfig(), "web", "/") == (f"PATH={PATH}", "HOSTNAME=web", "HOME=/")
    assert "HOME=/mine" in environment(replace(WEB, environment=(("HOME", "/mine"),)), ImageConfig(), "web", "/")


def test_a_zero_byte_in_the_environment_is_refused() -> None:
    with pytest.raises(HostError, match="zero byte"):
        environment(WEB, ImageConfig(environment=("A=b\0c",)), "web", "/")


@pytest.mark.parametrize(
    ("spec", "image", "expected"),
    [("", "", "/"), ("", "/srv", "/srv"), ("/a//b/./c/", "/srv", "/a/b/c"), ("/procession", "", "/procession")],
)
def test_working_dir(spec: str, image: str, expected: str) -> None:
    assert working_dir(replace(WEB, working_dir=spec), ImageConfig(working_dir=image)) == expected


@pytest.mark.parametrize(
    "path", ["/proc/self/fd/7", "//proc/self", "/proc", "srv", "../x", "/a/../b", "/" + "x" * 5000]
)
def test_a_working_dir_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(HostError, match="not a plain absolute path"):
        working_dir(WEB, ImageConfig(working_dir=path))


# --- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15", "SIGTERM"),
        ("TERM", "SIGTERM"),
        ("sigquit", "SIGQUIT"),
        ("SIGRTMIN+3", "SIGRTMIN+3"),
        ("37", "SIGRTMIN+3"),
    ],
)
def test_signal_names(text: str, expected: str) -> None:
    assert signal_name(text) == expected


@pytest.mark.parametrize(
    "text", ["SIGFOO", "99", "-1", "0", "SIG", "TERM+1", "SIGRTMIN+99", "15 ", "\uff11\uff15", "CLD X"]
)
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(HostError, match="is no signal"):
        stop_signal(WEB, ImageConfig(stop_signal=text))


@given(st.sampled_from(sorted(signal.valid_signals())))
def test_every_signal_has_a_name_that_leads_back(number: int) -> None:
    assert signal_number(signal_name(str(int(number)))) == number


def test_stop_signal_spec_before_image_before_term() -> None:
    assert stop_signal(WEB, ImageConfig()) == "SIGTERM"
    assert stop_signal(WEB, ImageConfig(stop_signal="SIGQUIT")) == "SIGQUIT"
    assert stop_signal(replace(WEB, stop_signal="2"), ImageConfig(stop_signal="SIGQUIT")) == "SIGINT"


# --- capabilities --------------------------------------------------------------------------------------------


def _named(*names: str) -> tuple[str, ...]:
    return tuple(f"CAP_{name}" for name in sorted(names))


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), _named(*DEFAULT_CAPABILITIES)),
        (("SYS_TIME",), ("CHOWN",), _named(*(DEFAULT_CAPABILITIES - {"CHOWN"}), "SYS_TIME")),
        ((), ("ALL",), ()),
        (("CHOWN",), ("ALL",), _named("CHOWN")),
        (("ALL",), (), _named(*CAPABILITIES)),
        (("ALL",), ("SYS_ADMIN",), _named(*(set(CAPABILITIES) - {"SYS_ADMIN"}))),
    ],
)
def test_capabilities(add: tuple[str, ...], drop: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert capabilities(replace(WEB, cap_add=add, cap_drop=drop)) == expected


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(HostError, match="'FLY' is no capability"):
        capabilities(replace(WEB, cap_add=("FLY",)))


# --- users ---------------------------------------------------------------------------------------------------

PASSWD = """\
# a comment
root:x:0:0:root:/root:/bin/sh
web:x:1000:1001:Web:/srv/web:/bin/sh\r
web:x:0:0:second of that name:/root:/bin/sh
1000:x:0:0:named like a number:/root:/bin/sh
short:x:5
long:x:5:5:::a:b:c
huge:x:4294967295:0::/:
homeless:x:7:7:::
"""
GROUP = "root:x:0:\nwheel:x:10:root,web\nweb:x:1001:web\nbad:x:99999999999:web\nother:x:20:webby\nempty:x:21:\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", User(0, 0, (0, 10), "/root")),
        ("root", User(0, 0, (0, 10), "/root")),
        ("web", User(1000, 1001, (1001, 10), "/srv/web")),
        ("1000", User(1000, 1001, (1001, 10), "/srv/web")),
        ("web:wheel", User(1000, 10, (10,), "/srv/web")),
        ("1000:5", User(1000, 5, (5,), "/srv/web")),
        ("4711", User(4711, 0, (0,), "/")),
        ("2147483647:2147483647", User(2147483647, 2147483647, (2147483647,), "/")),
        ("homeless", User(7, 7, (7,), "/")),
    ],
)
def test_users(spec: str, expected: User) -> None:
    assert user(spec, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    "spec",
    [
        *(
            "4294967296",
            "2147483648",
            "-1",
            "0x0",
            "\uff11\uff12",
            " 0",
            "1_0",
            "1000:",
            ":1000",
            ":",
            "web:badgroup",
            "nobody",
        ),
        *("short", "long", "huge", "+5", "web:-1", "1e3", "web:wheel:x", "0:99999999999"),
    ],
)
def test_what_is_no_user(spec: str) -> None:
    with pytest.raises(HostError, match=r"cannot (find|use)"):
        user(spec, PASSWD, GROUP)


def test_an_image_without_accounts_has_root() -> None:
    assert user("", "", "") == User(0, 0, (0,), "/")
    assert user("7:8", "", "") == User(7, 8, (8,), "/")


def test_too_many_groups_are_refused() -> None:
    group = "\n".join(f"g{number}:x:{number}:web" for number in range(70_000))
    with pytest.raises(HostError, match="more than 1000 groups"):
        user("web", PASSWD, group)


@given(st.text(max_size=30), st.text(max_size=200), st.text(max_size=200))
def test_whatever_the_image_says_ids_stay_in_range(spec: str, passwd: str, group: str) -> None:
    try:
        found = user(spec, passwd, group)
    except HostError:
        return
    assert all(0 <= number < 2**31 for number in (found.uid, found.gid, *found.groups))
    assert found.gid in found.groups


# --- limits --------------------------------------------------------------------------------------------------


def test_limits_are_all_said_and_none_above_the_daemon_s_own() -> None:
    free = {kind: (soft, hard) for kind, soft, hard in rlimits({})}
    assert free == {kind: (soft, hard) for kind, soft, hard in RLIMITS}
    bound = {kind: (soft, hard) for kind, soft, hard in rlimits({"RLIMIT_NOFILE": 512, "RLIMIT_NPROC": -1})}
    assert bound["RLIMIT_NOFILE"] == (512, 512)
    assert bound["RLIMIT_NPROC"] == (INFINITY, INFINITY)
