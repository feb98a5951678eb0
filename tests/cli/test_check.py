"""`check`: files and directories, what it prints where, and which number it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.__main__ import main

Capture = pytest.CaptureFixture[str]

WEB = '[services.web]\nimage = "web:1"\nports = ["8080:80"]\n'
UNSET = "services:\n  web:\n    image: web:${VERSION}\n"


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_good_file(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", write(tmp_path, "web.toml", WEB)]) == 0
    assert capsys.readouterr() == ("1 file is right: 1 service\n", "")


def test_a_key_that_looks_like_ours_is_a_remark(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "web.toml", WEB + "x-egres = []\n")
    assert main(["check", path]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{path}:4:1: 'x-egres' of service 'web' is ignored; did you mean 'x-egress'?\n"


def test_networks_of_two_files_that_overlap_name_both(tmp_path: Path, capsys: Capture) -> None:
    subnet = '[[networks.default.ipam.config]]\nsubnet = "10.5.0.0/16"\n'
    paths = [write(tmp_path, name, f"name = '{name[0]}'\n{WEB}{subnet}") for name in ("a.toml", "b.toml")]
    assert main(["check", *paths]) == 3
    assert (
        "cannot use subnet 10.5.0.0/16 of network 'b_default' for app 'b' "
        f"({paths[1]}): it overlaps 10.5.0.0/16 of network 'a_default' of app 'a' ({paths[0]})"
    ) in capsys.readouterr().err


def test_a_variable_that_is_not_set_is_a_remark(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "web.yaml", UNSET.replace("web:$", "web:1$"))
    assert main(["check", path]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{path}:3:12: variable 'VERSION' is not set in .env; it is taken as empty\n"
    assert printed.out == "1 file is right: 1 service\n"


def test_a_directory_is_read_as_the_daemon_reads_it(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, "web.toml", WEB)
    write(tmp_path, "shop/compose.yaml", UNSET.replace("web:$", "web:1$"))
    write(tmp_path, ".hidden.toml", "nonsense")
    write(tmp_path, "shop/other.yaml", "nonsense")
    assert main(["check", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{tmp_path}/shop/compose.yaml:3:12: variable 'VERSION'")
    assert printed.out == "2 files are right: 2 services\n"


def test_problems_in_a_directory_are_named_by_the_path_that_was_asked_for(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "specs", "web.toml", WEB.replace("ports", "prots"))
    good = write(tmp_path, "good.toml", WEB)
    assert main(["check", "specs", good]) == 3
    printed = capsys.readouterr()
    assert printed.err.startswith("specs/web.toml:3:1: cannot ")
    assert printed.out == ""


def test_files_are_also_held_against_each_other(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path / "specs", "one.toml", WEB)
    other = write(tmp_path, "two.toml", WEB)
    assert main(["check", str(tmp_path / "specs"), other]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "8080" in line
    assert f"{tmp_path}/specs/one.toml" in line


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", str(tmp_path / "nothing.toml")]) == 3
    assert capsys.readouterr().err == f"{tmp_path}/nothing.toml:1:1: cannot read the file: No such file or directory\n"
