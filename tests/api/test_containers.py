"""Which containers are listed and found, and the words that tools parse."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import docker
from reconciler.api.docker import events, filters
from reconciler.api.question import Question, RefusalError, encode
from reconciler.core import model
from reconciler.core.status import Event
from tests.api.feed import CONTAINERS, END, EVENTS, IMAGE, NOW, SNAPSHOT, WEB, seen

WEB_ID = CONTAINERS[0].id


def ask(route: str, id: str = "", **query: str) -> Any:
    question = Question(snapshot=SNAPSHOT, now=NOW, path={"id": id}, query=query)
    return json.loads(encode(docker.ANSWERS[route](question)))


def names(**query: str) -> set[str]:
    return {entry["Names"][0].removeprefix("/shop-").removesuffix("-1") for entry in ask("/containers/json", **query)}


def filtered(**by: list[str]) -> set[str]:
    return names(all="1", filters=json.dumps({key.replace("_", "-"): value for key, value in by.items()}))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"web", "lone", "worker"}),
        ({"all": "0"}, {"web", "lone", "worker"}),
        ({"all": "False"}, {"web", "lone", "worker"}),
        ({"all": "True"}, {"web", "lone", "worker", "done3", "fresh"}),
        ({"limit": "-1"}, {"web", "lone", "worker"}),
        ({"limit": "0"}, {"web", "lone", "worker"}),
        ({"filters": "{}"}, {"web", "lone", "worker"}),
        ({"filters": '{"status":{"exited":true}}'}, {"done3"}),
        ({"filters": '{"status":{"exited":false}}', "all": "1"}, {"web", "lone", "worker", "done3", "fresh"}),
    ],
)
def test_who_is_listed(query: dict[str, str], expected: set[str]) -> None:
    assert names(**query) == expected


def test_a_limit_counts_from_the_newest_of_all() -> None:
    assert len(names(limit="2")) == 2
    assert "web" not in names(limit="4")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ({"name": ["web"]}, {"web"}),
        ({"name": ["^/?shop-web-1$"]}, {"web"}),
        ({"name": ["^shop-"]}, {"web", "lone", "worker", "done3", "fresh"}),
        ({"name": ["er-1$"]}, {"worker"}),
        ({"name": ["web", "lone"]}, {"web", "lone"}),
        ({"id": [WEB_ID[:12]]}, {"web"}),
        ({"label": ["com.docker.compose.project=shop", "traefik.enable"]}, {"web", "worker"}),
        ({"label": ["com.docker.compose.service=web"]}, {"web"}),
        ({"label": ["traefik.enable=false"]}, set()),
        ({"label": ["com.docker.compose.oneoff=False"], "status": ["created"]}, {"fresh"}),
        ({"status": ["running", "exited"]}, {"web", "lone", "done3"}),
        ({"status": ["restarting"]}, {"worker"}),
        ({"exited": ["3"]}, {"done3"}),
        ({"health": ["none"]}, {"web", "lone", "worker", "done3", "fresh"}),
        ({"health": ["healthy"]}, set()),
        ({"ancestor": ["bb:1"]}, {"web", "lone", "worker", "done3", "fresh"}),
        ({"ancestor": [IMAGE.id[:30]]}, {"web", "lone", "worker", "done3", "fresh"}),
        ({"ancestor": ["other"]}, set()),
        ({"network": ["shop_default"]}, {"web", "worker", "done3", "fresh"}),
        ({"volume": ["shop_data"]}, {"web"}),
        ({"volume": ["/data"]}, {"web"}),
        ({"publish": ["18081"]}, {"web"}),
        ({"publish": ["53"]}, set()),
        ({"publish": ["50-60/udp"]}, {"web"}),
        ({"expose": ["53/udp"]}, {"web"}),
        ({"since": ["shop-web-1"]}, {"lone", "worker", "done3", "fresh"}),
        ({"before": ["shop-lone-1"]}, {"web"}),
        ({"is_task": ["false"]}, {"web", "lone", "worker", "done3", "fresh"}),
    ],
)
def test_filters(by: dict[str, list[str]], expected: set[str]) -> None:
    assert filtered(**by) == expected


@pytest.mark.parametrize(
    "by",
    [
        {"nosuch": ["x"]},
        {"status": ["asleep"]},
        {"health": ["fine"]},
        {"exited": ["three"]},
        {"publish": ["http"]},
        {"publish": ["1-x"]},
        {"name": ["(a+)+$"]},
        {"name": [".*"]},
    ],
)
def test_filters_that_cannot_be_meant_are_refused(by: dict[str, list[str]]) -> None:
    with pytest.raises(RefusalError) as refusal:
        filtered(**by)
    assert refusal.value.status == 400


@pytest.mark.parametrize("text", ["[", "[]", "3", '{"name":"web"}', '{"name":[3]}', "[" * 100_000])
def test_filters_that_are_no_filters_are_refused(text: str) -> None:
    with pytest.raises(RefusalError, match="invalid filter"):
        filters.parse(text, {"name"})


@given(st.text(max_size=20), st.text(max_size=20))
def test_both_forms_of_a_filter_mean_the_same(first: str, second: str) -> None:
    as_list = filters.parse(json.dumps({"label": [first, second]}), {"label"})
    as_map = filters.parse(json.dumps({"label": {first: True, second: True}}), {"label"})
    assert set(as_list["label"]) == set(as_map["label"])


@pytest.mark.parametrize("id", [WEB_ID, WEB_ID[:12], WEB_ID[:1] + WEB_ID[1:9], "shop-web-1", "/shop-web-1"])
def test_a_container_is_found(id: str) -> None:
    assert ask("/containers/{id}/json", id)["Id"] == WEB_ID


@pytest.mark.parametrize(("id", "status"), [("web", 404), ("zzz", 404), ("", 404), ("shop-lost-1", 404)])
def test_a_container_is_not_found(id: str, status: int) -> None:
    with pytest.raises(RefusalError, match="No such container") as refusal:
        ask("/containers/{id}/json", id)
    assert refusal.value.status == status


def test_a_beginning_that_fits_two_is_refused() -> None:
    twins = {end * 64: replace(CONTAINERS[0], id="ab" + end * 62, name=f"twin-{end}") for end in "01"}
    observed = model.Observed(containers={twin.id: twin for twin in twins.values()})
    question = Question(snapshot=replace(SNAPSHOT, observed=observed), now=NOW, path={"id": "ab"})
    with pytest.raises(RefusalError, match="multiple IDs found with provided prefix: ab"):
        docker.ANSWERS["/containers/{id}/json"](question)


def test_the_words_that_tools_parse() -> None:
    entries = {entry["Names"][0]: (entry["State"], entry["Status"]) for entry in ask("/containers/json", all="1")}
    assert entries == {
        "/shop-web-1": ("running", "Up 8 minutes"),
        "/shop-lone-1": ("running", "Up About an hour"),
        "/shop-done3-1": ("exited", "Exited (3) 7 minutes ago"),
        "/shop-worker-1": ("restarting", "Restarting (1) 5 seconds ago"),
        "/shop-fresh-1": ("created", "Created"),
    }


def test_labels_of_the_user_win_over_those_of_compose_and_of_the_image() -> None:
    mine = (("com.docker.compose.project", "mine"), ("org.opencontainers.image.source", "me"))
    wanted = replace(WEB, labels=mine)
    desired = replace(SNAPSHOT.desired, containers={WEB.name: wanted})
    question = Question(snapshot=replace(SNAPSHOT, desired=desired), now=NOW, path={"id": WEB.name})
    labels = json.loads(encode(docker.ANSWERS["/containers/{id}/json"](question)))["Config"]["Labels"]
    assert dict(mine).items() <= labels.items()
    assert labels["com.docker.compose.service"] == "web"


def test_a_container_whose_spec_is_gone_is_still_shown() -> None:
    question = Question(snapshot=replace(SNAPSHOT, desired=model.Desired()), now=NOW, path={"id": WEB.name})
    found = json.loads(encode(docker.ANSWERS["/containers/{id}/json"](question)))
    assert found["State"]["Status"] == "running"
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["HostConfig"]["Memory"] == 0


def test_limits_and_ports_of_the_inspection() -> None:
    found = ask("/containers/{id}/json", "shop-web-1")
    assert found["HostConfig"]["Memory"] == 64 << 20
    assert found["HostConfig"]["NanoCpus"] == 500_000_000
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "unless-stopped", "MaximumRetryCount": 0}
    assert found["NetworkSettings"]["Ports"] == {
        "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}],
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18081"}],
    }
    assert found["NetworkSettings"]["Networks"]["shop_default"]["Gateway"] == "10.192.3.1"
    assert [(mount["Type"], mount["Destination"], mount["RW"]) for mount in found["Mounts"]] == [
        ("volume", "/data", True), ("bind", "/etc/app.yaml", False), ("tmpfs", "/tmp", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("route", "by", "count"),
    [
        ("/networks", {"name": ["shop"]}, 1),
        ("/networks", {"driver": ["overlay"]}, 0),
        ("/networks", {"label": ["com.docker.compose.project=shop"], "dangling": ["false"]}, 1),
        ("/images/json", {"reference": ["bb"]}, 1),
        ("/images/json", {"reference": ["cc"]}, 0),
        ("/images/json", {"dangling": ["true"]}, 0),
        ("/images/json", {"label": ["org.opencontainers.image.source"]}, 1),
    ],
)
def test_filters_of_other_nouns(route: str, by: dict[str, list[str]], count: int) -> None:
    assert len(ask(route, filters=json.dumps(by))) == count


def test_volumes_that_nothing_uses_dangle() -> None:
    def volumes(wanted: str) -> list[str]:
        found = ask("/volumes", filters=json.dumps({"dangling": [wanted]}))
        return [volume["Name"] for volume in found["Volumes"]]

    assert (volumes("true"), volumes("false")) == (["left_over"], ["shop_data"])


@pytest.mark.parametrize("id", ["bb:1", "docker.io/library/bb:1", IMAGE.id, IMAGE.id[7:], IMAGE.id[7:19], IMAGE.digest])
def test_an_image_is_found(id: str) -> None:
    assert ask("/images/{id:path}/json", id)["Id"] == IMAGE.id


@pytest.mark.parametrize(
    ("by", "actions"),
    [
        ({"type": ["container"]}, ["start", "die"]),
        ({"event": ["die"]}, ["die"]),
        ({"action": ["pull"]}, ["pull"]),
        ({"container": ["shop-web-1"]}, ["start"]),
        ({"container": [WEB_ID[:12]]}, ["start"]),
        ({"image": [IMAGE.reference]}, ["pull", "start", "die"]),
        ({"label": ["com.docker.compose.service=web"]}, ["start"]),
        ({"scope": ["swarm"]}, []),
    ],
)
def test_filters_of_events(by: dict[str, list[str]], actions: list[str]) -> None:
    shown = [one for event in EVENTS if (one := events.shown(event, SNAPSHOT))]
    chosen = filters.parse(json.dumps(by), events.FILTERS)
    assert [one["Action"] for one in shown if events.accepts(one, chosen)] == actions


def test_an_event_without_a_whole_id_is_not_shown_as_clients_cut_ids_unseen() -> None:
    assert (
        events.shown(Event(sequence=1, at=1, kind="container", name="x", action="died", container="ab"), SNAPSHOT)
        is None
    )


@pytest.mark.parametrize("address", ["junk", "10.0.0.1/99", "", "fe80::zz"])
def test_an_address_that_no_strict_client_takes_is_left_out(address: str) -> None:
    one = seen("web", model.Running(pid=1, since=NOW), endpoints=(replace(END, ipv4=address),))
    snapshot = replace(SNAPSHOT, observed=replace(SNAPSHOT.observed, containers={one.id: one}))
    question = Question(snapshot=snapshot, now=NOW)
    (entry,) = json.loads(encode(docker.ANSWERS["/containers/json"](question)))
    assert entry["NetworkSettings"]["Networks"]["shop_default"]["IPAddress"] == ""
