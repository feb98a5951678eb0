"""Resolvers and records that end, hang, are changed or taken away: what is seen, and how it comes back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import dns
from reconciler.core.networking import Pairs
from reconciler.errors import HostError
from reconciler.host import runs
from tests.host.network.conftest import ip
from tests.host.network.questions import (
    ask,
)
from tests.host.network.resolving.conftest import (
    DB,
    WEB,
    WEB_2,
    Here,
    make_bridge,
    until,
)

pytestmark = [pytest.mark.root, pytest.mark.host]


# --- the process -------------------------------------------------------------------------------------------------


def test_it_may_do_nothing_and_belongs_to_no_session_of_ours(here: Here) -> None:
    here.serve()
    pid = here.served().process.pid
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert os.getsid(pid) != os.getsid(0)
    assert f"/{here.settings.instance}/monitors" in Path(f"/proc/{pid}/cgroup").read_text()


def test_it_outlives_the_daemon_and_the_next_one_knows_it(here: Here) -> None:
    found = here.serve()
    before = here.served()
    here.reader.close()
    here.wake()
    seen = here.reader.look()
    assert seen.resolvers == {name: dns.fingerprint(one) for name, one in found.items()}
    assert seen.names == {"front": (WEB, WEB_2), "back": (DB,)}
    assert here.served() == before


def test_what_is_served_otherwise_now_is_replaced(here: Here) -> None:
    found = here.serve()
    before = here.served()
    changed = replace(found["front"], servers=("192.0.2.1",))
    here.names.serve(changed)
    assert not runs.lives(before.process)
    assert here.reader.look().resolvers["front"] == dns.fingerprint(changed) != before.fingerprint
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_one_that_is_not_needed_ends_with_the_records_of_its_network(here: Here) -> None:
    here.serve()
    here.reader.look()
    for _ in range(2):
        here.names.stop("front")
    seen = here.reader.look(everything=False)
    assert set(seen.resolvers) == set(seen.names) == {"back"}
    with pytest.raises(OSError, match="refused"):
        ask("10.9.0.1", "web")


def test_it_answers_again_when_its_bridge_was_made_again(here: Here) -> None:
    here.serve()
    before = here.served()
    ip("link", "delete", "front")
    make_bridge("front", "10.9.0.1/24", "fd00:9::1/64")
    for server in ("10.9.0.1", "fd00:9::1"):
        for tcp in (False, True):
            assert ask(server, "shop-web-1", tcp=tcp).found == ("10.9.0.2",)
    assert here.served() == before


# --- harm --------------------------------------------------------------------------------------------------------


def test_one_that_was_killed_is_missed_at_once_and_served_again(here: Here) -> None:
    found = here.serve()
    assert set(here.reader.look().resolvers) == {"front", "back"}
    os.kill(here.served().process.pid, signal.SIGKILL)
    assert set(here.until(lambda seen: "front" not in seen.resolvers).resolvers) == {"back"}
    here.names.serve(found["front"])
    assert set(here.reader.look(everything=False).resolvers) == {"front", "back"}
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_one_that_hangs_is_missed_without_a_look_at_everything(here: Here) -> None:
    here.serve()
    here.reader.look()
    assert set(here.reader.look(everything=False).resolvers) == {"front", "back"}
    os.kill(here.served().process.pid, signal.SIGSTOP)
    assert set(here.until(lambda seen: "front" not in seen.resolvers).resolvers) == {"back"}


def test_one_that_hangs_is_missed_after_a_full_look_and_replaced(here: Here) -> None:
    found = here.serve()
    hung = here.served()
    os.kill(hung.process.pid, signal.SIGSTOP)
    assert set(here.reader.look().resolvers) == {"front", "back"}
    assert set(here.until(lambda seen: "front" not in seen.resolvers).resolvers) == {"back"}
    here.names.serve(found["front"])
    assert not runs.lives(hung.process)
    assert set(here.reader.look(everything=False).resolvers) == {"front", "back"}
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_one_that_answers_again_counts_again(here: Here) -> None:
    here.serve()
    pid = here.served().process.pid
    os.kill(pid, signal.SIGSTOP)
    here.reader.look()
    here.until(lambda seen: "front" not in seen.resolvers)
    os.kill(pid, signal.SIGCONT)
    here.reader.look()
    here.until(lambda seen: "front" in seen.resolvers)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / WEB[0]).write_text("10.9.0.66\tweb\n"),
        lambda folder: (folder / WEB[0]).unlink(),
        lambda folder: (folder / WEB[0]).rename(folder.parent / "elsewhere"),
        lambda folder: (folder / "more").write_text("10.9.0.66\tweb\n"),
        shutil.rmtree,
        lambda folder: folder.rename(folder.with_name("other")),
    ],
)
def test_records_that_somebody_changed_are_seen_at_once_and_put_right(
    here: Here, harm: Callable[[Path], object]
) -> None:
    found = here.serve()
    assert here.reader.look().names["front"] == (WEB, WEB_2)
    harm(here.places.records / "front")
    here.until(lambda seen: seen.names.get("front") != (WEB, WEB_2))
    here.names.write("front", (WEB, WEB_2))
    seen = here.until(lambda seen: seen.names.get("front") == (WEB, WEB_2))
    if "front" not in seen.resolvers or "front" not in here.reader.look(everything=False).resolvers:
        here.names.serve(found["front"])  # it watched a folder that is gone
    until(lambda: {*ask("10.9.0.1", "web").found} == {"10.9.0.2", "10.9.0.3"})
    here.names.write("front", (WEB_2,))
    until(lambda: ask("10.9.0.1", "web").found == ("10.9.0.3",))


def test_a_pid_file_that_is_gone_hides_nothing_from_serving_again(here: Here) -> None:
    found = here.serve()
    lost = here.served()
    for path in here.places.folder.glob("front@*.pid"):
        path.unlink()
    here.names.serve(found["front"])
    assert not runs.lives(lost.process)
    assert here.reader.look().resolvers["front"] == dns.fingerprint(found["front"])


def test_nobody_else_is_ended_whatever_a_pid_file_says(here: Here) -> None:
    found = here.resolvers()
    here.names.write("front", ())
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            for text in (str(other.pid), "0", "-1", "x", ""):
                here.places.pid_file("front", dns.fingerprint(found["front"])).write_text(text)
                assert here.reader.look().resolvers == {}
                here.names.stop("front")
            assert other.poll() is None
        finally:
            other.kill()


# --- what cannot be ----------------------------------------------------------------------------------------------


def test_somebody_else_s_resolver_on_every_address_is_named(here: Here, folder: Path) -> None:
    pid = folder / "pid"
    subprocess.run(
        ["dnsmasq", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=nobody", f"--pid-file={pid}"],
        check=True,
    )
    try:
        with pytest.raises(HostError) as error:
            here.names.serve(here.resolvers()["front"])
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    text = str(error.value)
    assert text.startswith("cannot serve names on front: port 53 of 10.9.0.1, fd00:9::1 is taken by dnsmasq (process ")
    assert re.search(r"listens on (0\.0\.0\.0|::); have it listen on its own addresses only", text)


def test_an_address_that_is_not_there_is_said(here: Here) -> None:
    with pytest.raises(HostError, match=r"cannot serve names on front: .*10\.7\.0\.1: Cannot assign requested address"):
        here.names.serve(replace(here.resolvers()["front"], addresses=("10.7.0.1",)))


def test_a_missing_program_is_said(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.host.names.PROGRAM", "dnsmasq-that-is-not-there")
    with pytest.raises(HostError, match=r"cannot serve names on front: cannot run dnsmasq-that-is-not-there .*no such"):
        here.names.serve(here.resolvers()["front"])


def test_a_folder_that_it_cannot_enter_is_said(here: Here, folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(HostError, match=rf"dnsmasq runs as .* and cannot enter {folder}; chmod o[+]x {folder}"):
        here.names.serve(here.resolvers()["front"])


def test_a_daemon_s_umask_hides_nothing_from_it(here: Here) -> None:
    umask = os.umask(0o077)
    try:
        here.serve()
    finally:
        os.umask(umask)
    assert ask("10.9.0.1", "shop-web-1").found == ("10.9.0.2",)


def test_names_that_cannot_be_written_are_said(here: Here) -> None:
    records: Pairs = (("no/such/folder", ""),)
    with pytest.raises(HostError, match=r"cannot write the names of network front: .*No such file or directory"):
        here.names.write("front", records)
