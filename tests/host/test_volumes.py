"""Named volumes are folders that stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.core.model import Volume
from reconciler.errors import HostError
from reconciler.host.volumes import VolumeFolders
from reconciler.settings import Settings


def _volumes(folder: Path) -> VolumeFolders:
    return VolumeFolders(Settings(state=folder))


def test_created_once_and_seen(tmp_path: Path) -> None:
    volumes = _volumes(tmp_path)
    assert volumes.seen() == frozenset()
    volume = Volume(name="app_data", app="app", spec="app.yaml")
    volumes.create(volume)
    (tmp_path / "volumes/app_data/file").write_text("kept")
    volumes.create(volume)
    assert (tmp_path / "volumes/app_data/file").read_text() == "kept"
    assert volumes.seen() == {"app_data"}
    assert (tmp_path / "volumes").stat().st_mode & 0o777 == 0o700


def test_what_is_no_volume_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "volumes/.app_data.filling").mkdir(parents=True)
    (tmp_path / "volumes/file").write_text("")
    (tmp_path / "volumes/link").symlink_to("/")
    assert _volumes(tmp_path).seen() == frozenset()


def test_external_ones_must_exist_and_are_never_made(tmp_path: Path) -> None:
    volume = Volume(name="shared", app="app", spec="app.yaml", external=True)
    with pytest.raises(HostError, match="cannot use volume shared: it is external"):
        _volumes(tmp_path).create(volume)
    assert not (tmp_path / "volumes").exists()
    (tmp_path / "volumes/shared").mkdir(parents=True)
    _volumes(tmp_path).create(volume)


def test_a_file_in_the_way_is_said_and_never_none(tmp_path: Path) -> None:
    (tmp_path / "volumes").write_text("")
    with pytest.raises(HostError, match="cannot create volume app_data"):
        _volumes(tmp_path).create(Volume(name="app_data", app="app", spec="app.yaml"))
    with pytest.raises(HostError, match="cannot read the volumes"):
        _volumes(tmp_path).seen()
