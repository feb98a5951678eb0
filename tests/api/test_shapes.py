"""Our answers beside those of a recorded engine: the same keys, the same types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import docker
from reconciler.api.docker import events
from reconciler.api.question import Question, encode
from tests.api.feed import EVENTS, NOW, SNAPSHOT

SAMPLES = Path(__file__).parent / "samples"

# Objects whose keys are data: every value of ours must look like some recorded value.
FREE = frozenset(
    [
        "Labels",
        "Networks",
        "Ports",
        "Containers",
        "Options",
        "PortBindings",
        "Attributes",
        "ExposedPorts",
        "Details",
        "Runtimes",
        "Data",
        "IndexConfigs",
    ]
)
# What the engine tells and we do not: where things lie on the host, health (not yet), and builds of Docker.
OMITTED = frozenset(
    [
        "Health",
        "Healthcheck",
        "ContainerConfig",
        "AllowNondistributableArtifactsCIDRs",
        "AllowNondistributableArtifactsHostnames",
        "Expected",
        "MacAddress",
        "Experimental",
        "status",
    ]
)
# Go decodes null into every one of these (DOCKER-API, type traps).
NULLABLE = frozenset(
    [
        "Binds",
        "MaskedPaths",
        "ReadonlyPaths",
        "Data",
        "Cmd",
        "Labels",
        "Aliases",
        "DNSNames",
        "PidsLimit",
        "Mirrors",
        "Config",
        "ExtraHosts",
    ]
)


def differences(ours: Any, recorded: Any, path: str = "") -> list[str]:
    """What a client that expects `recorded` would trip over in `ours`."""
    key = path.rpartition(".")[2]
    if recorded is None or ours is None:
        fits = recorded is None and not isinstance(ours, str)
        return [] if fits or key in NULLABLE else [f"{path}: {ours!r} for {recorded!r}"]
    if type(ours) is not type(recorded):
        return [f"{path}: {ours!r} for {recorded!r}"]
    if isinstance(recorded, list):
        return [line for item in ours if recorded for line in differences(item, recorded[0], path)]
    if not isinstance(recorded, dict):
        return []
    if key in FREE:
        values = list(recorded.values())
        return [
            line for name, value in ours.items() if values for line in differences(value, values[0], f"{path}.{name}")
        ]
    missing = [f"{path}.{name}: missing" for name in recorded if name not in ours and name not in OMITTED]
    shared = [
        line for name in recorded if name in ours for line in differences(ours[name], recorded[name], f"{path}.{name}")
    ]
    return missing + shared


def recorded(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())["body"]


def ours(route: str, id: str = "", **query: str) -> Any:
    return json.loads(encode(docker.ANSWERS[route](Question(snapshot=SNAPSHOT, now=NOW, path={"id": id}, query=query))))


@pytest.mark.parametrize(
    ("route", "id", "sample"),
    [
        ("/version", "", "version"),
        ("/info", "", "info"),
        ("/containers/{id}/json", "shop-web-1", "container-inspect-shop-web-1"),
        ("/containers/{id}/json", "shop-done3-1", "container-inspect-done3"),
        ("/containers/{id}/json", "shop-fresh-1", "container-inspect-neverstarted"),
        ("/containers/{id}/json", "shop-lone-1", "container-inspect-done3"),
        ("/networks/{id}", "shop_default", "network-inspect"),
        ("/volumes", "", "volumes-list"),
        ("/volumes/{id}", "shop_data", "volume-inspect"),
        ("/volumes/{id}", "left_over", "volume-inspect"),
        ("/images/json", "", "images-list"),
        ("/images/{id:path}/json", "bb:1", "image-inspect"),
    ],
)
def test_an_answer_has_the_shape_of_the_recorded_one(route: str, id: str, sample: str) -> None:
    assert differences(ours(route, id), recorded(sample)) == []


def test_every_entry_of_the_list_has_the_shape_of_a_recorded_entry() -> None:
    sample = next(entry for entry in recorded("containers-list-all") if entry["Names"] == ["/shop-web-1"])
    entries = ours("/containers/json", all="1")
    assert len(entries) == 5
    assert [line for entry in entries for line in differences({**entry, "Ports": []}, {**sample, "Ports": []})] == []


def test_ports_of_the_list_have_the_shape_of_recorded_ports() -> None:
    web = next(entry for entry in ours("/containers/json") if entry["Names"] == ["/shop-web-1"])
    sample = {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 18081, "Type": "tcp"}
    assert sample in web["Ports"]
    assert [line for port in web["Ports"] for line in differences(port, sample)] == []


def test_networks_have_the_shape_of_a_recorded_bridge() -> None:
    sample = recorded("networks-list")[-1]
    assert [line for network in ours("/networks") for line in differences(network, sample)] == []


def test_events_have_the_shape_of_recorded_events() -> None:
    lines = json.loads((SAMPLES / "events-bounded.json").read_text())["json_lines"]
    sample = next(line for line in lines if line["Action"] == "die")
    died = json.loads(encode(events.shown(EVENTS[2], SNAPSHOT)))
    assert differences(died, sample) == []
    assert died["status"] == "die"
    assert died["Actor"]["Attributes"]["exitCode"] == sample["Actor"]["Attributes"]["exitCode"].replace("137", "3")


def test_the_comparison_itself_sees_what_a_strict_client_trips_over() -> None:
    sample = {"Id": "a", "Created": 1, "Ports": {"80/tcp": [{"HostPort": "1"}]}, "Args": ["x"]}
    assert differences({"Id": "b", "Created": 2, "Ports": {}, "Args": []}, sample) == []
    assert len(differences({"Created": "2", "Ports": {"1/udp": [{"HostPort": 1}]}, "Args": None}, sample)) == 4


@pytest.mark.parametrize(
    ("name", "route", "id", "query"),
    [
        ("error-404-container", "/containers/{id}/json", "nosuch", {}),
        ("error-404-image", "/images/{id:path}/json", "nosuch", {}),
        ("error-404-network", "/networks/{id}", "nosuch", {}),
        ("error-404-volume", "/volumes/{id}", "nosuch", {}),
        ("error-400-filter", "/containers/json", "", {"filters": '{"nosuch":["x"]}'}),
        ("error-400-not-json-filter", "/containers/json", "", {"filters": "notjson"}),
    ],
)
def test_errors_read_as_those_of_the_engine(name: str, route: str, id: str, query: dict[str, str]) -> None:
    from reconciler.api.question import RefusalError

    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    with pytest.raises(RefusalError) as refusal:
        ours(route, id, **query)
    assert (refusal.value.status, str(refusal.value)) == (sample["status"], sample["body"]["message"])
