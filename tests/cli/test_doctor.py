"""What `doctor` prints, and which number it ends with."""

from __future__ import annotations

import json

import pytest

from reconciler.__main__ import main
from reconciler.cli import doctor
from reconciler.core.fitness import Finding
from tests.core.test_fitness import GOOD

Capture = pytest.CaptureFixture[str]

OK = Finding(name="nft", verdict="ok", found="nftables v1.0.6")
WARN = Finding(name="runc fixes", verdict="warn", found="open: CVE-1", advice="take a newer runc")
FAIL = Finding(name="conmon", verdict="fail", found="missing\x1b[2J", advice="apt install conmon")


def test_findings_are_a_table_and_advice_stands_below() -> None:
    assert doctor.lines([OK, WARN], colours=False) == [
        "      WHAT        FOUND",
        "ok    nft         nftables v1.0.6",
        "warn  runc fixes  open: CVE-1",
        "",
        "What to do:",
        "- runc fixes: take a newer runc",
        "",
        "This host is fit.",
    ]


def test_one_failure_is_not_fit() -> None:
    text = doctor.lines([OK, WARN, FAIL], colours=False)
    assert text[-1] == "This host is not fit."
    assert not any("\x1b" in line for line in text)
    assert "\x1b[31mfail\x1b[0m" in "\n".join(doctor.lines([FAIL], colours=True))


@pytest.mark.parametrize(("root", "code"), [(True, 0), (False, 1)])
def test_the_number_says_whether_the_host_is_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, root: bool, code: int
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(doctor, "inspect", lambda settings: replace(GOOD, root=root))
    assert main(["doctor", "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["fit"] == (code == 0)
    assert {"name", "verdict", "found", "advice"} == set(answer["findings"][0])
    assert main(["doctor"]) == code
    assert ("not fit" in capsys.readouterr().out) == (code == 1)


def test_this_host_is_asked(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) in {0, 1}
    names = {finding["name"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert {"user", "runc", "conmon", "nft", "kernel overlay", "cgroups", "firewall", "addresses"} <= names
