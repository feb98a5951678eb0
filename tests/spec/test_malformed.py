"""What a user may get wrong: every case of `malformed.txt` gives exactly its first line, and never a traceback.

The file is a list of cases: `== service` (keys of one service), `== yaml` or `== toml` (a whole file), the text, and
behind `->` the first line of the error.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import SpecError
from reconciler.spec.parse import parse
from tests.spec.parsing import HEAD, errors

CASES = [
    case.split("\n", 1) for case in ("\n" + Path(__file__).with_name("malformed.txt").read_text()).split("\n== ")[1:]
]
BESIDE = {"broken": "A=1\nB='x\n"}


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{index}-{kind}" for index, (kind, _) in enumerate(CASES)])
def test_first_line(kind: str, case: str) -> None:
    text, _, expected = case.rstrip("\n").rpartition("\n-> ")
    whole = f"{HEAD}{text}\n" if kind == "service" else f"{text}\n"
    assert errors(whole, "app.toml" if kind == "toml" else "app.yaml", **BESIDE)[0] == expected


def test_corpus_is_large() -> None:
    assert len(CASES) >= 330
    assert len({text for _, text in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", b"", "a.yaml:1:1: cannot use the spec: it is empty"),
        ("a.yaml", b"\xff\xfe", "a.yaml:1:1: cannot read the file: it is not UTF-8"),
        ("a.yaml", b"a: 1\nb: \xe4", "a.yaml:2:4: cannot read the file: it is not UTF-8"),
        ("a.toml", b"a = 1\nb = '\xe4'", "a.toml:2:6: cannot read the file: it is not UTF-8"),
        ("a.yaml", "a: b".encode("utf-16"), "a.yaml:1:1: cannot read the file: it is not UTF-8"),
        ("a.yaml", b"a: \x00", "a.yaml:1:4: cannot read YAML: the text has a control character"),
        ("a.yaml", b"a: |\n b\n\x07", "a.yaml:3:1: cannot read YAML: the text has a control character"),
        ("a.toml", b"a = '\x00'", "a.toml:1:6: cannot read TOML: found invalid character '\\x00'"),
        ("a.yaml", b"#" * 1048577, "a.yaml:1:1: cannot read the file: it is larger than 1048576 bytes"),
        ("a.toml", b"a = " + b"9" * 5000, "a.toml:1:1: cannot read TOML: a number is too large"),
        ("a.toml", b"a = " + b"[" * 100_000, "a.toml:1:1: cannot read TOML: it is nested deeper than 32 levels"),
        ("a.toml", b"a." * 100_000 + b"a = 1", "a.toml:1:1: cannot read TOML: it is nested deeper than 32 levels"),
        ("a.toml", b"[" + b"a." * 100_000 + b"a]", "a.toml:1:1: cannot read TOML: it is nested deeper than 32 levels"),
        (
            "a.toml",
            b"x = {" + b"'a'." * 9999 + b"a=1}",
            "a.toml:1:1: cannot read TOML: it is nested deeper than 32 levels",
        ),
        ("a.yaml", b"[" * 1_000_000, "a.yaml:1:33: cannot read the value: it is nested deeper than 32 levels"),
        ("a.yaml", b"? " * 100_000, "a.yaml:1:65: cannot read the value: it is nested deeper than 32 levels"),
        ("a.yaml", b"- " * 100_000, "a.yaml:1:65: cannot read the value: it is nested deeper than 32 levels"),
    ],
    ids=range(17),
)
def test_hostile_bytes(name: str, text: bytes, expected: str) -> None:
    assert errors(text, name)[0] == expected


def test_every_mistake_is_told_in_the_files_order() -> None:
    assert errors("nam: a\nservices:\n  web:\n    image: 5\n    ports: [0, 80, x]\n  db: {}\n") == [
        "app.yaml:1:1: cannot use 'nam': no such key; did you mean 'name'?",
        "app.yaml:4:12: cannot use 'image' of service 'web': it must be a text, not a number; put it in quotes",
        (
            "app.yaml:5:13: cannot use 'ports[0]' of service 'web': "
            "ports go from 1 to 65535, and a range from its lower to its upper end"
        ),
        (
            "app.yaml:5:20: cannot use 'ports[2]' of service 'web': 'x' is no port; "
            'write "8080:80", "127.0.0.1:8080:80" or "53:53/udp"'
        ),
        "app.yaml:6:3: cannot use service 'db': it needs 'image'",
    ]


def test_mistakes_of_variables_and_of_values_come_together() -> None:
    lines = errors("services:\n  web:\n    image: ${TAG\n    tty: true\n")
    assert [line.split(" ")[0] for line in lines] == ["app.yaml:3:12:", "app.yaml:4:5:"]


def test_what_is_quoted_stays_one_printable_line_of_bounded_length() -> None:
    (line,) = errors(HEAD + r'ports: ["1\n2\e[31m"]')
    assert line.startswith(r"app.yaml:4:13: cannot use 'ports[0]' of service 'web': '1\n2\x1b[31m' is no port; ")
    (line,) = errors(HEAD + f"hostname: {'x' * 100_000}")
    assert len(line) == 1000
    assert line.endswith("xxx…")


def test_two_duplicate_keys_are_two_problems() -> None:
    lines = errors("services: {}\nservices: {}\nname: a\nname: b\n")
    assert [line.split(" ")[0] for line in lines] == ["app.yaml:2:1:", "app.yaml:4:1:"]


def test_a_mistake_in_the_env_file_is_at_its_place_in_that_file() -> None:
    assert errors("services: {}\n", env="A=1\nno equals sign\n") == [
        ".env:2:1: cannot read the variable: a line must be NAME=value"
    ]


def test_the_directory_of_the_spec_is_in_the_path_of_a_file_beside_it() -> None:
    lines = errors("services: {}\n", "blog/compose.yaml", env="'\n")
    assert lines == ["blog/.env:1:1: cannot read the variable: a line must be NAME=value"]


def test_unreadable_env_file_is_one_line() -> None:
    def read(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    with pytest.raises(Exception, match=r"^\.env:1:1: cannot read the file: Permission denied$"):
        parse("app.yaml", b"services: {}", read)


def test_an_env_file_that_is_a_folder_or_binary_is_one_line() -> None:
    def read(path: str) -> bytes:
        if path == "binary.env":
            return b"A=\xff"
        raise FileNotFoundError(path) if path == ".env" else IsADirectoryError(21, "Is a directory", path)

    text = (HEAD + "env_file: [folder, binary.env]\n").encode()
    with pytest.raises(SpecError) as caught:
        parse("app.yaml", text, read)
    assert str(caught.value).splitlines() == [
        "binary.env:1:3: cannot read the file: it is not UTF-8",
        "app.yaml:4:16: cannot use 'env_file[0]' of service 'web': 'folder' cannot be read: Is a directory",
    ]
