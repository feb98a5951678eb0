"""CNI plugins: scripted ones, that write down how they were called, and those of Debian, with traffic."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.networking import Endpoint, Network
from reconciler.core.wiring import disconnected, veth_name, with_addresses
from reconciler.errors import HostError
from reconciler.host.cni import FOLDER, Grants, Plugins
from reconciler.settings import Settings
from tests.host.network.conftest import World, ip, within

ID = "c" * 64
RESULT = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}], "ips": [{"address": "10.1.0.5/16", "interface": 0}]}

PLUGIN = """#!/bin/sh
# Writes a line for each call and answers with the file that is named after itself and the command.
cd "${0%/*}"
name="${0##*/}"
line='{"plugin": "%s", "command": "%s", "id": "%s", "netns": "%s", "ifname": "%s", "path": "%s", "given": %s}\\n'
printf "$line" "$name" "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_PATH" "$(cat)" >> calls
answer="$name.$CNI_COMMAND"
[ -e "$answer.error" ] && { cat "$answer.error"; exit 1; }
[ -e "$answer" ] && cat "$answer"
exit 0
"""


@dataclass
class Script:
    """Two plugins, `first` and `second`, one after the other."""

    folder: Path
    plugins: Plugins
    grants: Grants
    endpoint: Endpoint

    @property
    def pin(self) -> Path:
        return self.folder / "netns" / ID

    def connect(self, fresh: bool = True) -> None:
        self.plugins.connect(ID, self.endpoint, self.pin, fresh)

    def calls(self) -> list[dict[str, Any]]:
        """How they were called since the last time."""
        log = self.folder / "bin" / "calls"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def names(self) -> list[str]:
        return [f"{call['command']} {call['plugin']}" for call in self.calls()]

    def answer(self, name: str, answer: object) -> None:
        (self.folder / "bin" / name).write_text(json.dumps(answer))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    settings = Settings(state=tmp_path, run=tmp_path, cni_path=(str(tmp_path / "none"), str(tmp_path / "bin")))
    for folder in ("bin", "netns"):
        (tmp_path / folder).mkdir()
    (tmp_path / "netns" / ID).touch()
    file = tmp_path / "lan.conflist"
    plugins = [{"type": "first", "answer": 42}, {"type": "second", "capabilities": {"mac": True}}]
    file.write_text(json.dumps({"cniVersion": "1.0.0", "name": "lan", "plugins": plugins}))
    network = Network(name="lan", app="lan", spec="lan.toml", driver="cni", cni=str(file))
    made = Script(
        tmp_path,
        Plugins(settings),
        Grants(settings),
        Endpoint(network=network, bridge="", interface="eth0", mac="02:00:00:00:00:01", aliases=("db",)),
    )
    for name in ("first", "second"):
        (tmp_path / "bin" / name).write_text(PLUGIN)
        (tmp_path / "bin" / name).chmod(0o755)
        made.answer(f"{name}.ADD", {**RESULT, "by": name})
    return made


def test_plugins_are_added_in_order_each_with_the_result_before_it(script: Script) -> None:
    script.connect()
    first, second = script.calls()
    assert (first["command"], first["plugin"], first["id"], first["ifname"]) == ("ADD", "first", ID, "eth0")
    assert first["netns"] == str(script.pin)
    assert first["path"].endswith("/none:" + str(script.folder / "bin"))
    assert first["given"] == {"cniVersion": "1.0.0", "name": "lan", "type": "first", "answer": 42}
    assert second["given"]["prevResult"] == {**RESULT, "by": "first"}
    assert second["given"]["runtimeConfig"] == {"mac": "02:00:00:00:00:01"}
    assert script.grants.look() == {ID: {"eth0": ("10.1.0.5/16", "")}}


def test_what_is_there_is_only_checked(script: Script) -> None:
    script.connect()
    script.calls()
    script.connect(fresh=False)
    checks = script.calls()
    assert [f"{call['command']} {call['plugin']}" for call in checks] == ["CHECK first", "CHECK second"]
    assert all(call["given"]["prevResult"]["by"] == "second" for call in checks)


def test_what_a_check_finds_wrong_is_made_anew(script: Script) -> None:
    script.connect()
    script.answer("second.CHECK.error", {"code": 999, "msg": "the rules are gone"})
    script.calls()
    script.connect(fresh=False)
    assert script.names() == ["CHECK first", "CHECK second", "DEL second", "DEL first", "ADD first", "ADD second"]


def test_a_new_namespace_after_a_reboot_is_added_anew(script: Script) -> None:
    script.connect()
    script.calls()
    script.connect()
    assert script.names() == ["DEL second", "DEL first", "ADD first", "ADD second"]


def test_they_are_deleted_in_reverse_also_when_the_configuration_is_gone(script: Script) -> None:
    script.connect()
    script.calls()
    Path(script.endpoint.network.cni).unlink()
    script.plugins.disconnect(ID, script.pin)
    second, first = script.calls()
    assert (second["plugin"], first["plugin"]) == ("second", "first")
    assert {second["given"]["prevResult"]["by"], first["given"]["prevResult"]["by"]} == {"second"}
    assert script.grants.look() == {}
    script.plugins.disconnect(ID, script.pin)
    assert script.calls() == []


def test_a_namespace_that_is_gone_is_not_named(script: Script) -> None:
    script.connect()
    script.calls()
    script.pin.unlink()
    script.plugins.disconnect(ID, script.pin)
    assert {call["netns"] for call in script.calls()} == {""}


def test_an_add_that_failed_half_way_is_deleted_before_the_next_try(script: Script) -> None:
    script.answer("second.ADD.error", {"code": 11, "msg": "try again later", "details": "no lease"})
    with pytest.raises(HostError, match=r"^cannot ADD network lan by CNI plugin second: try again later; no lease$"):
        script.connect()
    script.calls()
    assert script.grants.look() == {ID: {"eth0": ("", "")}}
    (script.folder / "bin/second.ADD.error").unlink()
    script.connect(fresh=False)
    assert script.names() == ["DEL second", "DEL first", "ADD first", "ADD second"]


def test_a_delete_that_fails_is_told_when_all_were_asked_and_done_again(script: Script) -> None:
    script.connect()
    script.plugins.connect(ID, replace(script.endpoint, interface="eth1"), script.pin, fresh=True)
    script.calls()
    script.answer("second.DEL.error", {"code": 11, "msg": "busy"})
    with pytest.raises(HostError, match=r"^cannot DEL network lan by CNI plugin second: busy$"):
        script.plugins.disconnect(ID, script.pin)
    assert [call["ifname"] for call in script.calls()] == ["eth1", "eth0"]
    (script.folder / "bin/second.DEL.error").unlink()
    script.plugins.disconnect(ID, script.pin)
    assert script.names() == ["DEL second", "DEL first"] * 2


def test_a_plugin_that_says_nothing_of_use_fails_with_its_status(script: Script) -> None:
    (script.folder / "bin/first.ADD.error").write_text("panic")
    with pytest.raises(HostError, match=r"^cannot ADD network lan by CNI plugin first: .* it exited with status 1$"):
        script.connect()


def test_an_answer_that_is_no_result_is_refused(script: Script) -> None:
    script.answer("first.ADD", [])
    with pytest.raises(HostError, match=r"^cannot use the answer of CNI plugin first: it is not a result$"):
        script.connect()


def test_a_plugin_that_is_not_installed_is_named(script: Script) -> None:
    (script.folder / "bin/second").unlink()
    with pytest.raises(HostError, match=r"^cannot run CNI plugin second: it is in none of .*; install it, or set"):
        script.connect()


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"\xff", "not text"), (b"{}", "it has no name")])
def test_a_configuration_that_cannot_be_used_is_named(script: Script, content: bytes | None, why: str) -> None:
    file = Path(script.endpoint.network.cni)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(HostError, match=f"^cannot use the CNI configuration {file}: .*{why}"):
        script.connect()


def test_a_damaged_memory_is_told_when_it_is_needed(script: Script) -> None:
    script.connect()
    kept = script.folder / FOLDER / ID / "eth0.json"
    kept.write_text("{")
    assert script.grants.look() == {ID: {"eth0": ("", "")}}
    with pytest.raises(HostError, match=r"^cannot read what the CNI plugins answered .*; delete the file"):
        script.plugins.disconnect(ID, script.pin)


# --- the plugins of the distribution -----------------------------------------------------------------------------


def lan(world: World, plugin: dict[str, object]) -> Network:
    """A network by a plugin and host-local."""
    subnets = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "2001:db8::/64"}]]
    ipam = {
        "type": "host-local",
        "ranges": subnets,
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(world.settings.state / "leases"),
    }
    file = world.settings.state / "lan.conflist"
    plugins = [{**plugin, "ipam": ipam}, {"type": "tuning", "capabilities": {"mac": True}}]
    file.write_text(json.dumps({"cniVersion": "1.0.0", "name": "lan", "plugins": plugins}))
    return Network(name="lan", app="lan", spec="lan.toml", driver="cni", cni=str(file))


def leases(world: World) -> list[str]:
    return sorted(path.name for path in (world.settings.state / "leases/lan").glob("10.*"))


def fault(world: World, id: str) -> str:
    links = world.reader.look(False)
    endpoints = with_addresses(world.joined[id], links.granted.get(id, {}))
    return disconnected(endpoints, links.insides.get(id), links.ends.get(id, {}))


@pytest.mark.root
@pytest.mark.parametrize(
    "plugin",
    [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True},
        {"type": "macvlan", "master": "uplink", "mode": "bridge"},
    ],
    ids=["bridge", "macvlan"],
)
def test_real_plugins_join_containers_and_let_them_go(world: World, plugin: dict[str, object]) -> None:
    ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
    for end in ("uplink", "far"):
        ip("link", "set", end, "up")
    network = lan(world, plugin)
    ids = [world.id("lan", number) for number in (2, 3)]
    for id in ids:
        world.join(id, Endpoint(network=network, bridge="", interface="eth0"))
    assert [fault(world, id) for id in ids] == ["", ""]
    granted = world.reader.look().granted
    addresses = [granted[id]["eth0"][0].partition("/")[0] for id in ids]
    assert leases(world) == sorted(addresses)
    assert all(granted[id]["eth0"][1].startswith("2001:db8::") for id in ids)
    world.serve(world.pin("lan", 2), 80, "two")
    assert world.ask(world.pin("lan", 3), addresses[0], 80) == ("two", addresses[1])

    within(world.pin("lan", 2), lambda: ip("link", "delete", "eth0"))
    assert fault(world, ids[0]) == "eth0 is gone"
    world.join(ids[0], *world.joined[ids[0]])
    assert fault(world, ids[0]) == ""

    for id in ids:
        world.networks.disconnect(id)
    assert leases(world) == []
    assert world.reader.look().granted == {}


@pytest.mark.root
def test_a_container_in_a_network_of_plugins_and_one_of_ours(world: World) -> None:
    world.network("shop")
    network = lan(world, {"type": "bridge", "bridge": "cni0"})
    id = world.id("shop", 2)
    world.join(id, Endpoint(network=network, bridge="", interface="eth0"), world.endpoint("shop", 2, 1))
    assert fault(world, id) == ""
    (end,) = world.reader.look().ends[id].values()
    assert end.name == veth_name(id, 1), "as whoever tells it from its place expects"
    within(world.pin("shop", 2), lambda: ip("link", "set", "eth1", "down"))
    assert fault(world, id) == "eth1 is down"
    world.join(id, *world.joined[id])
    assert fault(world, id) == ""
    world.networks.disconnect(id)
    assert leases(world) == []
