"""CNI's documents: what a configuration may be, what each plugin is given, what a result grants."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import cni
from reconciler.errors import HostError

LIST = {
    "cniVersion": "1.0.0",
    "name": "lan",
    "plugins": [
        {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}},
        {"type": "tuning", "capabilities": {"mac": True, "ips": False}},
    ],
}


def test_a_list_is_its_plugins_in_order() -> None:
    found = cni.parse(json.dumps(LIST), "lan.conflist")
    assert (found.name, found.version, found.checks) == ("lan", "1.0.0", True)
    assert [plugin["type"] for plugin in found.plugins] == ["bridge", "tuning"]
    assert cni.from_document(cni.to_document(found)) == found


def test_one_plugin_is_a_list_of_one() -> None:
    found = cni.parse('{"cniVersion": "0.3.1", "name": "lan", "type": "macvlan", "master": "eth0"}', "lan.conf")
    assert [plugin["type"] for plugin in found.plugins] == ["macvlan"]
    assert not found.checks, "CHECK came with 0.4.0"


@pytest.mark.parametrize("value", [True, "true"])
def test_check_can_be_switched_off(value: object) -> None:
    assert not cni.parse(json.dumps({**LIST, "disableCheck": value}), "x").checks


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "it is not an object"),
        ('{"cniVersion": "1.0.0"}', "it has no name"),
        ('{"name": "lan", "type": "x"}', "cniVersion is missing, and must be 0.3.0 or later"),
        ('{"name": "lan", "type": "x", "cniVersion": "0.2.0"}', "cniVersion 0.2.0 must be 0.3.0 or later"),
        ('{"name": "lan", "type": "x", "cniVersion": "new"}', "cniVersion new must be"),
        ('{"name": "lan", "cniVersion": "1.0.0"}', "each plugin needs a type"),
        ('{"name": "lan", "cniVersion": "1.0.0", "plugins": []}', "it has no plugins"),
        ('{"name": "lan", "cniVersion": "1.0.0", "plugins": [{"type": "../sh"}]}', "each plugin needs a type"),
        ('{"name": "lan", "cniVersion": "1.0.0", "plugins": [{"type": ".."}]}', "each plugin needs a type"),
        ('{"name": "lan", "cniVersion": "1.0.0", "plugins": ["bridge"]}', "each plugin needs a type"),
    ],
)
def test_what_is_no_configuration_is_named(text: str, why: str) -> None:
    with pytest.raises(HostError, match=r"^cannot use the CNI configuration lan\.conf: ") as raised:
        cni.parse(text, "lan.conf")
    assert why in str(raised.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(["cniVersion", "name", "type", "plugins", "disableCheck"])


@given(st.dictionaries(KEYS, ANYTHING | st.sampled_from(["1.0.0", [{"type": "bridge"}]])))
def test_any_document_is_used_or_refused(document: dict[str, object]) -> None:
    with suppress(HostError):
        found = cni.parse(json.dumps(document), "x")
        assert found.plugins
        assert all(isinstance(plugin["type"], str) and plugin["type"] for plugin in found.plugins)
        assert cni.from_document(cni.to_document(found)) == found


def test_each_plugin_is_given_the_lists_name_and_version_and_what_it_can_use() -> None:
    configuration = cni.parse(json.dumps(LIST), "x")
    asked = list(cni.requests(configuration, {"mac": "02:00:00:00:00:01", "ips": ["10.0.0.2/24"]}, None))
    assert asked == [
        (
            "bridge",
            {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}, "name": "lan", "cniVersion": "1.0.0"},
        ),
        (
            "tuning",
            {"type": "tuning", "name": "lan", "cniVersion": "1.0.0", "runtimeConfig": {"mac": "02:00:00:00:00:01"}},
        ),
    ]


def test_a_result_is_given_to_all() -> None:
    configuration = cni.parse(json.dumps(LIST), "x")
    result = {"cniVersion": "1.0.0", "ips": []}
    assert [given["prevResult"] for _, given in cni.requests(configuration, {}, result)] == [result, result]


def test_addresses_are_those_of_the_interface() -> None:
    result = {
        "interfaces": [{"name": "cni0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
        "ips": [
            {"address": "10.9.9.1/24", "interface": 0},
            {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2},
            {"address": "10.1.0.6/16", "interface": 2},
            {"address": "2001:db8::5/64", "interface": 2},
        ],
    }
    assert cni.granted(result, "eth0") == ("10.1.0.5/16", "2001:db8::5/64")
    assert cni.granted({"ips": [{"address": "10.1.0.5/16"}]}, "eth0") == ("10.1.0.5/16", "")
    assert cni.granted({}, "eth0") == ("", "")


@given(st.dictionaries(st.sampled_from(["interfaces", "ips", "dns"]), ANYTHING))
def test_any_result_is_read_to_an_end(result: dict[str, object]) -> None:
    ipv4, ipv6 = cni.granted(result, "eth0")
    assert ":" not in ipv4
    assert not ipv6 or ":" in ipv6


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"cniVersion": "1.0.0", "code": 11, "msg": "try again", "details": "no lease"}', "try again; no lease"),
        ('{"code": 7, "msg": "bad"}', "bad"),
        ("{}", ""),
        ("[]", ""),
        ("panic: oh", ""),
    ],
)
def test_a_plugin_says_why(answer: str, words: str) -> None:
    assert cni.refusal(answer) == words
