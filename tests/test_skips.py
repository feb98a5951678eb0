"""The rule that nothing is skipped in CI, tried on a test run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

SKIPS = {
    "a mark": "import pytest\n@pytest.mark.skip(reason='why')\ndef test(): pass\n",
    "a call": "import pytest\ndef test(): pytest.skip('why')\n",
    "a fixture": "import pytest\n@pytest.fixture\ndef it(): pytest.skip('why')\ndef test(it): pass\n",
    "a module": "import pytest\npytest.skip('why', allow_module_level=True)\n",
}


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS.keys())
@pytest.mark.parametrize(("ci", "codes"), [("true", {1, 2}), ("", {0, 5})])
def test_skipped_fails_in_ci_only(tmp_path: Path, text: str, ci: str, codes: set[int]) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_it.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in codes, done.stdout
    assert ("skipped in CI: " in done.stdout and "why" in done.stdout) == (ci == "true")
