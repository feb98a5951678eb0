"""The directory of specs as it is in real life: half-written, swapped, missing, full of an editor's other files.

Whatever happens to the files, a healthy container stays as it is until a spec that can be read says otherwise.
"""

from __future__ import annotations

import shutil

import pytest

from tests.end_to_end.host import DIFFERENT, Host

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
[services.web]
image = "${REGISTRY}/web:1"
ports = ["8080:8080"]
stop_grace_period = "2s"
x-drain = "0s"
deploy.update_config.monitor = "0.5s"
"""
SLEEPER = """
services:
  one:
    image: ${REGISTRY}/sleeper:1
"""


@pytest.fixture
def web(host: Host) -> Host:
    """A machine on which one web server runs."""
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    return host


def test_half_written_file_holds_its_app_and_no_other(web: Host) -> None:
    before = web.pids()
    (web.specs / "web.toml").write_text(WEB[: len(WEB) // 2])
    web.until(lambda: "web" in str(web.ask("/v1/status")["troubles"]), "the broken spec is told")
    web.write("other.yaml", SLEEPER)
    web.until(lambda: "other-one-1" in web.pids(), "the other app converges")
    assert web.pids()["web-web-1"] == before["web-web-1"]
    (web.specs / "web.toml").write_text(WEB.replace("web:1", "web:2"))
    web.until(lambda: web.http(8080) == "two\n", "the whole file is followed")
    web.until_converged("web-web-1", "other-one-1")


def test_broken_spec_is_told_with_its_place(web: Host) -> None:
    web.write("web.toml", WEB.replace("ports", "prots"))
    web.until(lambda: web.ask("/v1/status")["troubles"], "the broken spec is told")
    assert "web.toml:4:1: cannot" in web.reconciler("status", code=DIFFERENT)
    assert web.http(8080) == "one\n"


def test_broken_spec_is_held_over_a_restart_and_a_reboot(web: Host) -> None:
    web.write("web.toml", "services = [")
    before = web.pids()
    web.end()
    web.start()
    web.until(lambda: web.ask("/v1/status")["troubles"], "the broken spec is told")
    assert web.pids() == before


def test_other_files_are_not_specs(web: Host) -> None:
    broken = "this is no spec"
    for name in ("web.toml~", ".web.toml.swp", "4913", "#web.toml#", "web.toml.bak", "README.md", ".hidden.yaml"):
        (web.specs / name).write_text(broken)
    web.write("other.yaml", SLEEPER)
    web.until_converged("web-web-1", "other-one-1")


def test_directory_swapped_by_symlink_is_followed(host: Host) -> None:
    first, second = host.specs.with_name("first"), host.specs.with_name("second")
    host.specs.rename(first)
    host.specs.symlink_to(first)
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    shutil.copytree(first, second)
    (second / "web.toml").write_text(WEB.replace("web:1", "web:2"))
    aside = host.specs.with_name("aside")
    aside.symlink_to(second)
    aside.rename(host.specs)
    host.until(lambda: host.http(8080) == "two\n", "the second directory is followed")
    host.write("other.yaml", SLEEPER)
    host.until_converged("web-web-1", "other-one-1")


def test_root_that_is_removed_and_made_again_loses_nothing(web: Host) -> None:
    before = web.pids()
    kept = web.specs.with_name("kept")
    shutil.copytree(web.specs, kept)
    shutil.rmtree(web.specs)
    web.until(lambda: web.ask("/v1/status")["troubles"], "the missing root is told")
    assert web.pids() == before
    shutil.copytree(kept, web.specs)
    web.until_converged("web-web-1")
    assert web.pids() == before
    web.write("other.yaml", SLEEPER)
    web.until_converged("web-web-1", "other-one-1")


def test_root_that_is_missing_at_start_is_waited_for(host: Host) -> None:
    aside = host.specs.with_name("aside")
    host.specs.rename(aside)
    host.start()
    host.until(lambda: host.ask("/v1/status")["troubles"], "the missing root is told")
    aside.rename(host.specs)
    host.write("web.toml", WEB)
    host.until_converged("web-web-1")


def test_two_specs_of_one_port_do_not_stop_the_first(web: Host) -> None:
    before = web.pids()
    web.write("web2.toml", WEB)
    web.until(lambda: "8080" in str(web.ask("/v1/status")["troubles"]), "the conflict is told")
    assert web.pids()["web-web-1"] == before["web-web-1"]
    assert web.http(8080) == "one\n"


def test_env_file_that_changes_is_followed(host: Host) -> None:
    host.write("app/compose.yaml", SLEEPER + "    env_file: [one.env]\n")
    host.write("app/.env", (host.specs / ".env").read_text())
    host.write("app/one.env", "COLOUR=red\n")
    host.start()
    host.until_converged("app-one-1")
    host.write("app/one.env", "COLOUR=green\n")
    host.until(
        lambda: b"COLOUR=green" in (host.process("app-one-1") / "environ").read_bytes(), "the new value is there"
    )


def test_many_specs_that_are_gone_at_once_wait_for_a_word(host: Host) -> None:
    names = ("four", "one", "three", "two")
    for name in ("kept", *names):
        host.write(f"{name}.yaml", SLEEPER)
    host.start()
    host.until_converged(*(f"{name}-one-1" for name in ("kept", *names)))
    before = host.pids()
    host.remove(*(f"{name}.yaml" for name in names))
    host.until(lambda: told(host).startswith("4 of 5 apps have left the specs"), "what waits is told")
    host.end()
    host.start()
    host.until(lambda: told(host).startswith("4 of 5 apps have left the specs"), "the next daemon tells it too")
    assert host.pids() == before
    host.write("reconciler.removed", "one\ntwo\n")
    host.until(lambda: host.pids().keys() == {"four-one-1", "kept-one-1", "three-one-1"}, "those with a tombstone go")
    assert ": four, three stay until" in host.reconciler("plan", code=DIFFERENT)
    host.write("reconciler.removed", "\n".join(names))
    host.until_converged("kept-one-1")


def told(host: Host) -> str:
    """What the status says of apps that left."""
    return next((each["message"] for each in host.ask("/v1/status")["troubles"] if each["key"] == "removals"), "")
