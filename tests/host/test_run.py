"""The door to other programs, with real programs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.run import ENVIRONMENT, failure, run, spoken


def test_returns_standard_output() -> None:
    assert run(["printf", "a\\nb"]) == "a\nb"


def test_input_is_given_and_else_closed() -> None:
    assert run(["cat"], input="text") == "text"
    assert run(["cat"], input=b"\xc3\xa4") == "ä"
    assert run(["cat"]) == ""


def test_output_that_is_not_text_is_still_returned() -> None:
    assert run(["printf", "\\377x"]) == "\ufffdx"


def test_a_large_input_and_output_do_not_block() -> None:
    text = "x" * 3_000_000
    assert run(["cat"], input=text) == text


def test_a_failure_says_what_failed_and_its_last_words() -> None:
    with pytest.raises(HostError, match=r"cannot run sh -c .*: first; second$"):
        run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"])


def test_a_silent_failure_says_its_status() -> None:
    with pytest.raises(HostError, match="it exited with status 3"):
        run(["sh", "-c", "exit 3"])
    with pytest.raises(HostError, match="it was ended by SIGKILL"):
        run(["sh", "-c", "kill -KILL $$"])


def test_a_missing_program_is_a_sentence() -> None:
    with pytest.raises(HostError, match="cannot run no-such-program: no such file or directory"):
        run(["no-such-program"])


def test_what_does_not_end_is_ended_with_all_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    with pytest.raises(HostError, match=r"it did not end within 0\.3 seconds"):
        run(["sh", "-c", f"sleep 1000 & echo $! > {child}; wait"], timeout=0.3)
    pid = int(child.read_text())
    deadline = time.monotonic() + 10
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_environment_is_fixed_and_only_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/tmp/evil.so")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    lines = set(run(["env"], env={"ADDED": "1"}).splitlines())
    assert lines == {f"{name}={value}" for name, value in ENVIRONMENT.items()} | {"ADDED=1"}


def test_no_descriptor_leaks_but_those_passed(tmp_path: Path) -> None:
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)
    given = os.open(tmp_path, os.O_RDONLY)
    try:
        seen = run(["sh", "-c", "ls /proc/$$/fd"], pass_fds=[given]).split()
    finally:
        os.close(leak)
        os.close(given)
    assert set(seen) == {"0", "1", "2", str(given)}


def test_runs_in_the_given_folder(tmp_path: Path) -> None:
    assert run(["pwd"], cwd=tmp_path).strip() == str(tmp_path)


def test_a_long_command_line_is_shortened() -> None:
    with pytest.raises(HostError) as caught:
        run(["sh", "-c", "exit 1", "y" * 5000])
    assert len(str(caught.value)) < 300


def test_only_the_last_lines_are_kept() -> None:
    assert failure(1, "\n".join(str(number) for number in range(100))) == "95; 96; 97; 98; 99"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  no such file \n", "no such file"),
        (
            r'time="2026-11-23T21:00:00Z" level=error msg="exec: \"x\": not\nfound in C:\\x"',
            r'exec: "x": not found in C:\x',
        ),
        ('time="2026-11-23T21:00:00Z" level=fatal msg=EOF', "EOF"),
        ('time="now" level=error msg="with fields" error="other"', "with fields"),
        ('msg="not logrus"', 'msg="not logrus"'),
        ('time="now" level=error msg="open', 'time="now" level=error msg="open'),
    ],
)
def test_what_is_said_without_the_dress_of_a_log(line: str, words: str) -> None:
    assert spoken(line) == words


def test_a_failed_program_says_it_without_the_dress_of_a_log() -> None:
    with pytest.raises(HostError, match=r"^cannot run sh .*: no such container$"):
        run(["sh", "-c", r"""echo 'time="now" level=error msg="no such container"' >&2; exit 1"""])
