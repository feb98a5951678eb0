"""`history` and `show`: golden text, the same from the socket and from the files, and sentences for wrong names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.__main__ import main
from reconciler.core.facts import Fact
from reconciler.core.history import Act, AppRevision, End, History, Life, Record, Service
from reconciler.host.history import HistoryFiles
from reconciler.settings import Settings
from tests.api.conftest import Api

Capture = pytest.CaptureFixture[str]
OLD, NEW, ONE, TWO = "1" * 64, "2" * 64, "a1" * 32, "a2" * 32
NAME = "shop-web-1"
SPEC = (Fact("environment.TOKEN", "", "5eed"), Fact("image", "web:1", "x"))
SPEC_NEW = (Fact("environment.TOKEN", "", "f00d"), Fact("image", "web:2", "y"))
WAS = Life(
    id="c" * 64, name=NAME, app="shop", service="web", revision=OLD, image="web:1", digest="sha256:1", at=1000.0,
    app_revision=ONE, facts=SPEC,
    acts=(Act(at=1001.0, key=f"container:{NAME}", cause="missing", plan=("create container", "start container")),),
)  # fmt: skip
BAD = Life(
    id="d" * 64, name=NAME, app="shop", service="web", revision=NEW, image="web:2", digest="sha256:2", at=2000.0,
    app_revision=TWO, facts=SPEC_NEW, before=WAS.id, before_revision=OLD, before_facts=SPEC,
    acts=(
        Act(at=2000.0, key=f"container:{NAME}", cause="no longer wanted; start-first", plan=("create container",)),
        Act(at=2001.0, key=f"container:{NAME}", cause="it was never healthy", plan=("quarantine revision 2",)),
        Act(at=2002.0, key=f"container:{NAME}@dddddddddddd", cause="in quarantine", plan=("remove",), error="cannot"),
    ),
    ends=(End(at=2000.5, code=3),), count=1, output=("hello", "no luck \x1b[2J"),
    fault="was never healthy: exit code 3", gone=2003.0,
)  # fmt: skip


def revision(of: str, at: float, life: Life) -> AppRevision:
    web = Service(
        name="web", image=life.image, digest=life.digest, revisions=((NAME, life.revision),), facts=life.facts
    )
    return AppRevision(app="shop", revision=of, at=at, services=(web,))


HISTORY = History((WAS, BAD), (revision(ONE, 999.0, WAS), revision(TWO, 1999.0, BAD)))
TABLE = """\
TIME                 NAME        WHAT         REVISION      WHY
1970-01-01 00:16:39  shop        revised      a1a1a1a1a1a1  web: web:1
1970-01-01 00:16:40  shop-web-1  made         111111111111  missing
1970-01-01 00:33:19  shop        revised      a2a2a2a2a2a2  web: web:2
1970-01-01 00:33:20  shop-web-1  replaced     222222222222  111111111111: no longer wanted; start-first
1970-01-01 00:33:20  shop-web-1  ended        222222222222  exit code 3
1970-01-01 00:33:21  shop-web-1  quarantined  222222222222  was never healthy: exit code 3
1970-01-01 00:33:23  shop-web-1  removed      222222222222  in quarantine; exit code 3
"""
SHOWN = """\
shop@a2a2a2a2a2a2
  in force: 1970-01-01 00:33:19 to now
  before: shop@a1a1a1a1a1a1

service web (1 of web:2, sha256:2)
  environment.TOKEN: (not shown)
  image: web:2
  differs from before:
    ~ environment.TOKEN: another value
    ~ image: web:1 -> web:2

container shop-web-1 dddddddddddd of revision 222222222222
  made: 1970-01-01 00:33:20 (no longer wanted; start-first)
  instead of: cccccccccccc of revision 111111111111
  quarantined: it was never healthy: exit code 3
  1970-01-01 00:33:20 container:shop-web-1 (no longer wanted; start-first)
    create container
  1970-01-01 00:33:21 container:shop-web-1 (it was never healthy)
    quarantine revision 2
  1970-01-01 00:33:22 container:shop-web-1@dddddddddddd (in quarantine)
    remove
    failed: cannot
  1970-01-01 00:33:20 ended with code 3
  its last lines:
    hello
    no luck  [2J
  gone: 1970-01-01 00:33:23
"""


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(params=["socket", "files"])
def place(request: pytest.FixtureRequest, api: Api, tmp_path: Path) -> list[str]:
    """The settings with which the same history is found: a daemon that answers, or none and its files."""
    state = tmp_path / "state"
    if request.param == "socket":
        api.feed.recorded = HISTORY
        return ["--run-directory", str(api.path.parent), "--state", str(state)]
    files = HistoryFiles(Settings(state=state))
    records: tuple[Record, ...] = (*HISTORY.lives, *HISTORY.revisions)
    for record in records:
        files.write(record)
    return ["--run-directory", str(tmp_path / "nowhere"), "--state", str(state)]


def test_history_is_a_table(place: list[str], capsys: Capture) -> None:
    assert main(["history", *place]) == 0
    assert capsys.readouterr().out == TABLE
    assert main(["history", *place, "shop"]) == 0
    assert capsys.readouterr().out == TABLE


def test_history_as_json(place: list[str], capsys: Capture) -> None:
    assert main(["history", *place, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["entries"]
    assert [row["what"] for row in rows][-2:] == ["quarantined", "removed"]
    assert rows[-1]["id"] == BAD.id


@pytest.mark.parametrize("prefix", [TWO, "a2", "2222"])
def test_show_is_what_was_in_force_and_what_came_of_it(place: list[str], capsys: Capture, prefix: str) -> None:
    assert main(["show", *place, f"shop@{prefix}"]) == 0
    assert capsys.readouterr().out == SHOWN


def test_show_as_json_has_no_marks(place: list[str], capsys: Capture) -> None:
    assert main(["show", *place, "shop@a1", "--json"]) == 0
    text = capsys.readouterr().out
    shown = json.loads(text)
    assert (shown["successor"], shown["until"], len(shown["instances"])) == (TWO, 1999.0, 1)
    assert "5eed" not in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["history", "shpo"], "cannot find app 'shpo': nothing is recorded of it; did you mean 'shop'?"),
        (["show", "shpo@a1"], "cannot find app 'shpo': nothing is recorded of it; did you mean 'shop'?"),
        (["show", "shop@a"], f"cannot choose revision 'a' of app 'shop': it may be {ONE} or {TWO}; write more of it"),
        (["show", "shop@ff"], "cannot find revision 'ff' of app 'shop': there are a1a1a1a1a1a1, a2a2a2a2a2a2"),
    ],
)
def test_a_wrong_name_is_told_what_there_is(place: list[str], capsys: Capture, words: list[str], sentence: str) -> None:
    assert main([words[0], *place, *words[1:]]) == 1
    assert capsys.readouterr().err == f"{sentence}\n"


def test_show_asks_for_both_names(place: list[str], capsys: Capture) -> None:
    assert main(["show", *place, "shop"]) == 2
    assert capsys.readouterr().err == "cannot show shop: write APP@REVISION, as `reconciler history` prints it\n"


@pytest.mark.parametrize("words", [["history"], ["show", "shop@a1"]])
def test_without_daemon_and_files_it_says_so(tmp_path: Path, capsys: Capture, words: list[str]) -> None:
    assert main([words[0], "--run-directory", str(tmp_path), "--state", str(tmp_path), *words[1:]]) == 5
    assert "none runs there" in capsys.readouterr().err


def test_nothing_is_recorded_yet(api: Api, capsys: Capture) -> None:
    assert main(["history", "--run-directory", str(api.path.parent)]) == 0
    assert capsys.readouterr().out == "nothing is recorded yet\n"
