"""The command line: what it says, its exit codes, and what `down` leaves, on a machine of its own."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.host import CONVERGED, DIFFERENT, INVALID, SITE, SITE_RUNS, UNREACHABLE, Host
from tests.end_to_end.namespaces import until

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
[services.web]
image = "${REGISTRY}/web:1"
ports = ["8080:8080"]
"""
BROKEN = WEB.replace("ports", "prots")


# --- run --once --------------------------------------------------------------------------------------------------


def test_once_converges_and_leaves_the_containers_running(host: Host) -> None:
    host.write("web.toml", WEB)
    host.reconciler("run", "--once", code=CONVERGED)
    assert host.http(8080) == "one\n"
    host.reconciler("plan", code=CONVERGED)


def test_once_says_when_it_could_not(host: Host) -> None:
    host.write("web.toml", WEB)
    host.write("gone.yaml", "services: {one: {image: '${REGISTRY}/nothing:1'}}\n")
    said = host.reconciler("run", "--once", code=DIFFERENT)
    assert "nothing:1" in said
    assert host.http(8080) == "one\n"


def test_once_with_an_invalid_spec_converges_the_others_and_says_so(host: Host) -> None:
    host.write("web.toml", WEB)
    host.write("bad.toml", BROKEN)
    said = host.reconciler("run", "--once", code=DIFFERENT)
    assert "bad.toml:4:1: cannot" in said
    assert host.http(8080) == "one\n"


def test_a_second_daemon_is_refused_with_one_sentence(host: Host) -> None:
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    for again in (("run",), ("run", "--once")):
        (sentence,) = host.reconciler(*again, code=1).splitlines()
        assert sentence.startswith("cannot use ")
        assert "another reconciler" in sentence
    assert host.http(8080) == "one\n"


# --- plan --------------------------------------------------------------------------------------------------------


def test_plan_shows_what_would_be_done_and_changes_nothing(host: Host) -> None:
    host.write("web.toml", WEB)
    said = host.reconciler("plan", code=DIFFERENT)
    assert "pull image" in said
    assert host.machine.leftovers() == {}


def test_plan_as_json(host: Host) -> None:
    host.write("web.toml", WEB)
    shown = json.loads(host.reconciler("plan", "--json", code=DIFFERENT))
    assert shown["tasks"]
    assert not shown["converged"]


def test_plan_of_invalid_specs(host: Host) -> None:
    host.write("web.toml", BROKEN)
    said = host.reconciler("plan", code=INVALID)
    assert "web.toml:4:1: cannot" in said


# --- check -------------------------------------------------------------------------------------------------------


def test_check_needs_neither_root_nor_daemon(host: Host) -> None:
    nobody = ("unshare", "--user")  # without a map, so the process is user 65534 to itself and to the kernel's checks
    good, bad = host.write("web.toml", WEB), host.write("bad.toml", BROKEN)
    host.reconciler("check", good, before=nobody)
    assert "bad.toml:4:1: cannot" in host.reconciler("check", bad, before=nobody, code=INVALID)


def test_site_is_valid(host: Host) -> None:
    host.write_site()
    files = (host.specs / path.relative_to(SITE) for path in SITE.rglob("*.*ml"))
    host.reconciler("check", *files)


# --- status, doctor ----------------------------------------------------------------------------------------------


def test_status_as_json(host: Host) -> None:
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    shown = json.loads(host.reconciler("status", "--json"))
    assert shown["converged"]
    assert [entry["name"] for entry in shown["containers"]] == ["web-web-1"]


def test_status_of_a_host_that_is_not_as_it_should_be(host: Host) -> None:
    host.write("web.toml", WEB)
    host.write("bad.toml", BROKEN)
    host.start()
    host.until(lambda: "web-web-1" in host.containers(), "the good one is there")
    said = host.reconciler("status", code=DIFFERENT)
    assert said.count("bad.toml:4:1: cannot") == 1
    assert said.endswith("in 1 app: not converged yet\n")


def test_status_without_a_daemon_is_one_sentence(host: Host) -> None:
    said = host.reconciler("status", code=UNREACHABLE)
    assert "cannot" in said
    assert "Traceback" not in said


def test_doctor_finds_this_machine_fit(host: Host) -> None:
    said = host.reconciler("doctor")
    for tool in ("runc", "conmon", "nft"):
        assert tool in said


# --- down --------------------------------------------------------------------------------------------------------


def test_down_leaves_nothing_but_volumes_and_images(host: Host) -> None:
    host.write_site()
    host.start()
    host.until_converged(*SITE_RUNS)
    host.redis("SET", "kept", "yes")
    host.end()
    there = {"processes", "links", "tables", "rules", "mounts", "cgroups", "containers"}
    assert set(host.machine.leftovers()) >= there
    host.reconciler("down")
    until(host.machine.is_clean, "the kernel has deleted the last links too")
    host.start()
    host.until_converged(*SITE_RUNS)
    assert host.redis("GET", "kept") == "yes"


def test_down_is_refused_while_a_daemon_runs(host: Host) -> None:
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    said = host.reconciler("down", code=1)
    assert "cannot" in said
    assert host.http(8080) == "one\n"


def test_down_where_nothing_is(host: Host) -> None:
    host.reconciler("down")
    assert host.machine.leftovers() == {}


def test_down_after_kill_and_reboot(host: Host) -> None:
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    host.machine.reboot()
    host.reconciler("down")
    assert host.machine.leftovers() == {}
