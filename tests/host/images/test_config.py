"""Image configs by vector (RELIABILITY §1.4): what strangers may ask for, and what they may not."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import ImageConfig
from reconciler.host.images.config import read_config
from reconciler.host.images.documents import Platform

HOST = Platform("linux", "amd64")


def document(**changes: Any) -> dict[str, Any]:
    return {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, **changes}


def read(**config: Any) -> ImageConfig:
    return read_config(json.dumps(document(config=config)).encode(), HOST).config


TAKEN: dict[str, tuple[dict[str, Any], ImageConfig]] = {
    "nothing": ({}, ImageConfig()),
    "nulls": ({"Env": None, "Cmd": None, "User": None, "Volumes": None, "Labels": None}, ImageConfig()),
    "C-05 name": ({"User": "nginx"}, ImageConfig(user="nginx")),
    "C-05 numbers": ({"User": "1000:2147483647"}, ImageConfig(user="1000:2147483647")),
    "C-05 name and number": ({"User": "www-data:33"}, ImageConfig(user="www-data:33")),
    "C-06 volumes": ({"Volumes": {"/data/": {}, "/a//b": {}}}, ImageConfig(volumes=("/a/b", "/data"))),
    "C-07 environment": (
        {"Env": ["PATH=/bin", "EMPTY=", "A=b=c", "LD_PRELOAD=/x", "TWO=lines\nhere", "A=again"]},
        ImageConfig(environment=("PATH=/bin", "EMPTY=", "A=b=c", "LD_PRELOAD=/x", "TWO=lines\nhere", "A=again")),
    ),
    "C-08 labels": ({"Labels": {"b": "2", "a\nb": "1"}}, ImageConfig(labels=(("a\nb", "1"), ("b", "2")))),
    "C-09 folder": ({"WorkingDir": "/srv/./app/"}, ImageConfig(working_dir="/srv/app")),
    "C-10 command": ({"Entrypoint": ["/a", ""], "Cmd": []}, ImageConfig(entrypoint=("/a", ""))),
    "C-10 ports": ({"ExposedPorts": {"80": {}, "53/udp": {}}}, ImageConfig(exposed_ports=("53/udp", "80/tcp"))),
    "C-10 signal": ({"StopSignal": "SIGQUIT"}, ImageConfig(stop_signal="SIGQUIT")),
    "C-10 signal, short": ({"StopSignal": "term"}, ImageConfig(stop_signal="SIGTERM")),
    "C-10 signal, number": ({"StopSignal": "3"}, ImageConfig(stop_signal="SIGQUIT")),
    "C-10 signal, systemd's": ({"StopSignal": "SIGRTMIN+3"}, ImageConfig(stop_signal="37")),
    "C-10 signal, from the end": ({"StopSignal": "RTMAX-1"}, ImageConfig(stop_signal="63")),
    "C-11 health checks are ignored": ({"Healthcheck": {"Interval": -1}}, ImageConfig()),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "C-05 2**32": ({"User": "4294967296"}, "User '4294967296' is not a name or a number"),
    "C-05 2**31": ({"User": "2147483648"}, "is not a name or a number"),
    "C-05 -1": ({"User": "-1"}, "is not a name or a number"),
    "C-05 hex": ({"User": "0x0"}, "is not a name or a number"),
    "C-05 full-width digits": ({"User": "\uff11\uff12"}, "is not a name or a number"),
    "C-05 space": ({"User": " 0"}, "is not a name or a number"),
    "C-05 underscore": ({"User": "1_0"}, "is not a name or a number"),
    "C-05 no group": ({"User": "1000:"}, "is not a name or a number"),
    "C-05 no user": ({"User": ":1000"}, "is not a name or a number"),
    "C-05 two colons": ({"User": "a:b:c"}, "is not a name or a number"),
    "C-05 newline": ({"User": "a\nroot"}, "is not a name or a number"),
    "C-05 group beyond": ({"User": "0:2147483648"}, "is not a name or a number"),
    "C-06 root": ({"Volumes": {"/": {}}}, "Volumes entry '/' is not a place for a volume"),
    "C-06 dot dot": ({"Volumes": {"/a/../x": {}}}, "is not an absolute, clean path"),
    "C-06 relative": ({"Volumes": {"../x": {}}}, "is not an absolute, clean path"),
    "C-06 empty": ({"Volumes": {"": {}}}, "is not a place for a volume"),
    "C-06 proc": ({"Volumes": {"/proc": {}}}, "is below /proc"),
    "C-06 sys": ({"Volumes": {"/sys/fs": {}}}, "is not a place for a volume"),
    "C-06 dev": ({"Volumes": {"/dev//x": {}}}, "is not a place for a volume"),
    "C-06 10 000": ({"Volumes": {f"/v{n}": {} for n in range(10_000)}}, "Volumes has 10000 entries"),
    "C-06 list": ({"Volumes": ["/a"]}, "Volumes is not an object"),
    "C-07 no =": ({"Env": ["PATH"]}, "Env entry 'PATH' is not NAME=value"),
    "C-07 empty name": ({"Env": ["=x"]}, "is not NAME=value"),
    "C-07 NUL": ({"Env": ["A=\0"]}, "Env has a character that no program can be given"),
    "C-07 lone surrogate": ({"Env": ["A=\ud800"]}, "Env has a character that no program can be given"),
    "C-08 100 000": ({"Labels": {str(n): "" for n in range(100_000)}}, "Labels has 100000 entries"),
    "C-08 number": ({"Labels": {"a": 1}}, "Labels is not a text"),
    "C-09 fd of a process": ({"WorkingDir": "/proc/self/fd/7"}, "is below /proc"),
    "C-09 relative": ({"WorkingDir": "app"}, "is not an absolute, clean path"),
    "C-09 dot dot": ({"WorkingDir": "/../../x"}, "is not an absolute, clean path"),
    "C-09 5 KiB": ({"WorkingDir": "/" + "a" * 5000}, "is not an absolute, clean path"),
    "C-10 entrypoint text": ({"Entrypoint": "/bin/sh"}, "Entrypoint is not a list of texts"),
    "C-10 entrypoint nested": ({"Entrypoint": [["/bin/sh"]]}, "Entrypoint is not a list of texts"),
    "C-10 many": ({"Cmd": ["a"] * 100_000}, "Cmd has 100000 entries"),
    "C-10 SIGFOO": ({"StopSignal": "SIGFOO"}, "StopSignal 'SIGFOO' is not a signal"),
    "C-10 99": ({"StopSignal": "99"}, "is not a signal"),
    "C-10 -1": ({"StopSignal": "-1"}, "is not a signal"),
    "C-10 0": ({"StopSignal": "0"}, "is not a signal"),
    "C-10 beyond the end": ({"StopSignal": "RTMIN+99"}, "is not a signal"),
    "C-10 port 70000": ({"ExposedPorts": {"70000/tcp": {}}}, "ExposedPorts entry '70000/tcp' is not a port"),
    "C-10 port 0": ({"ExposedPorts": {"0": {}}}, "is not a port"),
    "C-10 protocol": ({"ExposedPorts": {"80/xyz": {}}}, "is not a port"),
    "C-10 range": ({"ExposedPorts": {"80-90/tcp": {}}}, "is not a port"),
}

DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "C-12 key twice": (b'{"os": "linux", "os": "linux"}', "a key stands twice"),
    "C-12 NaN": (b'{"os": NaN}', "NaN is not JSON"),
    "C-12 nested": (b'{"a":' + b"[" * 100_000, "it is nested too deeply"),
    "C-12 5 000 digits": (b'{"a":' + b"1" * 5000 + b"}", "it is not JSON"),
    "C-12 trailing data": (b"{} x", "it is not JSON"),
    "C-12 BOM": (b"\xef\xbb\xbf{}", "it is not JSON"),
    "C-12 UTF-16": ("{}".encode("utf-16"), "it is not JSON"),
    "C-12 not an object": (b"[]", "it is not a JSON object"),
    "C-12 nothing": (b"", "it is not JSON"),
    "C-13 no os": (json.dumps(document(os="")).encode(), "it does not say for which os"),
    "C-13 no architecture": (json.dumps(document(architecture=None)).encode(), "it does not say for which os"),
    "C-13 another os": (
        json.dumps(document(os="windows")).encode(),
        "the image is for windows/amd64, the host is linux/amd64",
    ),
    "C-14 rootfs": (
        json.dumps(document(rootfs={"type": "x", "diff_ids": []})).encode(),
        "rootfs is not of type layers",
    ),
    "C-14 no rootfs": (json.dumps(document(rootfs=None)).encode(), "rootfs is not of type layers"),
    "C-14 diffID": (
        json.dumps(document(rootfs={"type": "layers", "diff_ids": ["x"]})).encode(),
        "is not a SHA-256 digest",
    ),
    "config is a list": (json.dumps(document(config=[])).encode(), "config is not an object"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str) -> None:
    config, expected = TAKEN[name]
    assert read(**config) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    config, why = REFUSED[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its text is what is compared)
        read(**config)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_are_refused(name: str) -> None:
    text, why = DOCUMENTS[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its text is what is compared)
        read_config(text, HOST)
    assert why in str(caught.value)


def test_what_an_image_says_of_itself() -> None:
    text = json.dumps(document(created="2026-01-02T03:04:05Z", variant="v2", history=[{}] * 1000)).encode()
    image = read_config(text, HOST)
    assert (image.created, image.platform, image.layers) == (
        "2026-01-02T03:04:05Z",
        Platform("linux", "amd64", "v2"),
        (),
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Volumes", "ExposedPorts", "Labels", "StopSignal", "x"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), ANYTHING)
def test_any_config_is_read_or_refused_in_one_sentence(config: dict[str, Any], rootfs: Any) -> None:
    for text in (json.dumps(document(config=config)), json.dumps(document(config=config, rootfs=rootfs))):
        with suppress(ValueError):
            assert read_config(text.encode(), HOST).platform == HOST


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (no random bytes are a config)
        read_config(text, HOST)
