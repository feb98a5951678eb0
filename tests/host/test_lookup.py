"""What outside names mean: asked of whoever answers, remembered, bounded in time; with names of this machine only."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.lookup import FORGOTTEN, REMEMBERED, Lookup, addresses_of


class Names:
    """Somebody who answers."""

    def __init__(self, **known: tuple[str, ...]) -> None:
        self.known = known
        self.dead: set[str] = set()
        self.now = 1000.0

    def ask(self, name: str) -> tuple[str, ...]:
        if name in self.dead:
            raise OSError
        return self.known.get(name, ())

    def clock(self) -> float:
        return self.now

    def lookup(self, folder: Path) -> Lookup:
        return Lookup(folder / "names" / "resolved.json", self.ask, self.clock)


def test_names_get_their_addresses_and_the_time(tmp_path: Path) -> None:
    names = Names(a=("192.0.2.1", "2001:db8::1"), b=("192.0.2.2",))
    lookup = names.lookup(tmp_path)
    lookup.resolve(["a", "b", "a", "nobody"])
    assert lookup.known() == {
        "a": (("192.0.2.1", "2001:db8::1"), 1000.0),
        "b": (("192.0.2.2",), 1000.0),
        "nobody": ((), 1000.0),
    }


def test_addresses_of_the_last_minutes_still_count(tmp_path: Path) -> None:
    names = Names(a=("192.0.2.1",))
    lookup = names.lookup(tmp_path)
    lookup.resolve(["a"])
    names.known["a"], names.now = ("192.0.2.2",), 1000.0 + REMEMBERED / 2
    lookup.resolve(["a"])
    assert lookup.known()["a"] == (("192.0.2.1", "192.0.2.2"), names.now)
    names.now = 1000.0 + REMEMBERED
    lookup.resolve(["a"])
    assert lookup.known()["a"] == (("192.0.2.2",), names.now)


def test_a_name_that_is_gone_has_no_addresses_any_more(tmp_path: Path) -> None:
    names = Names(a=("192.0.2.1",))
    lookup = names.lookup(tmp_path)
    lookup.resolve(["a"])
    del names.known["a"]
    lookup.resolve(["a"])
    assert lookup.known()["a"] == ((), 1000.0)


def test_when_nobody_answers_the_last_ones_stay_and_others_are_asked_all_the_same(tmp_path: Path) -> None:
    names = Names(a=("192.0.2.1",), b=("192.0.2.2",))
    lookup = names.lookup(tmp_path)
    lookup.resolve(["a", "b"])
    names.dead, names.known["b"], names.now = {"a", "c"}, ("192.0.2.3",), 2000.0
    with pytest.raises(HostError, match="cannot resolve a, c: the host's name servers do not answer; what they last"):
        lookup.resolve(["a", "b", "c"])
    assert lookup.known() == {"a": (("192.0.2.1",), 1000.0), "b": (("192.0.2.3",), 2000.0)}


def test_whoever_does_not_answer_in_time_holds_nobody_up(tmp_path: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def ask(name: str) -> tuple[str, ...]:
        if name == "slow":
            asked.set()
            assert answer.wait(10)
        return ("192.0.2.1",)

    lookup = Lookup(tmp_path / "resolved.json", ask)
    with pytest.raises(HostError, match="cannot resolve slow"):
        lookup.resolve(["fast", "slow"], patience=0.2)
    answer.set()
    assert asked.is_set()
    assert set(lookup.known()) == {"fast"}


def test_other_names_stay_until_nobody_can_want_them(tmp_path: Path) -> None:
    names = Names(a=("192.0.2.1",), b=("192.0.2.2",))
    lookup = names.lookup(tmp_path)
    lookup.resolve(["a", "b"])
    names.now += REMEMBERED * 2
    lookup.resolve(["b"])
    assert lookup.known() == {"a": (("192.0.2.1",), 1000.0), "b": (("192.0.2.2",), names.now)}
    names.now = 1000.0 + FORGOTTEN
    lookup.resolve(["b"])
    assert set(lookup.known()) == {"b"}


def test_the_next_daemon_knows_what_the_last_one_did(tmp_path: Path) -> None:
    names = Names(a=("192.0.2.1",))
    names.lookup(tmp_path).resolve(["a"])
    names.dead = {"a"}
    assert names.lookup(tmp_path).known() == {"a": (("192.0.2.1",), 1000.0)}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": [1, 2]}', '{"a": [{"x": "y"}, 0]}', "null"])
def test_a_file_that_somebody_spoilt_is_no_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "resolved.json").write_text(text)
    lookup = Lookup(tmp_path / "resolved.json", Names(a=("192.0.2.1",)).ask)
    assert lookup.known() == {}
    lookup.resolve(["a"])
    assert set(json.loads((tmp_path / "resolved.json").read_text())) == {"a"}


def test_the_host_knows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "127.0.0.1" in addresses_of("localhost")
    assert addresses_of("192.0.2.1") == ("192.0.2.1",)

    def refuse(code: int) -> None:
        def fail(*_: object, **__: object) -> object:
            raise socket.gaierror(code, "no")

        monkeypatch.setattr(socket, "getaddrinfo", fail)

    refuse(socket.EAI_NONAME)
    assert addresses_of("nobody.invalid") == ()
    refuse(socket.EAI_AGAIN)
    with pytest.raises(OSError, match="no"):
        addresses_of("nobody.invalid")


def test_what_is_no_name_at_all_is_like_no_answer(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot resolve"):
        Lookup(tmp_path / "resolved.json").resolve(["x" * 64 + ".invalid"])
