"""Archives for hosts that are cut off: what skopeo and docker write, and what strangers might."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.reference import canonical
from reconciler.errors import HostError
from reconciler.host.images.docker_archive import select
from reconciler.host.images.files import Archive, read_index_of
from reconciler.host.images.store import ImageStore
from tests.host.images.builder import Member, build_layout, config_bytes, digest, folder, packed, tar
from tests.host.images.frame import describe

pytestmark = pytest.mark.root

LAYERS = [[folder("etc", uid=3), Member("etc/a", b"lower")], [Member("etc/a", b"upper"), Member("b", b"b")]]


def copied(layout: Path, target: str) -> None:
    argv = ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:1", target]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def contents(store: ImageStore, reference: str) -> list[dict[str, str]]:
    root, lower = store.lower(store.seen()[reference])
    return [describe((root / name).resolve()) for name in lower]


@pytest.mark.host
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_what_skopeo_writes(kind: str, store: ImageStore, tmp_path: Path) -> None:
    wanted = build_layout(tmp_path / "layout", "1", LAYERS, {"Cmd": ["/a"]})
    copied(tmp_path / "layout", f"{kind}:{tmp_path}/image.tar:" + ("1" if kind == "oci-archive" else "app:1"))
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    reference = canonical(f"{kind}:{tmp_path}/image.tar:1")
    store.pull(reference, lambda _: None)
    image = store.seen()[reference]
    assert image.config.command == ("/a",)
    assert kind == "docker-archive" or image.digest == wanted
    assert contents(store, reference) == contents(store, f"oci:{tmp_path}/layout:1")


def archive(path: Path, files: dict[str, bytes | str]) -> None:
    """A tar file; text is the target of a symbolic link."""
    with tarfile.open(path, "w") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                out.addfile(info)
            else:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))


def saved(layers: list[bytes], names: list[str], **changes: Any) -> dict[str, bytes | str]:
    """What `docker save` of an old docker writes."""
    config = config_bytes(layers, {})
    image = {"Config": "c.json", "RepoTags": ["app:1", "r.example:5000/app:2"], "Layers": names, **changes}
    return {"c.json": config, "manifest.json": json.dumps([image]).encode(), **dict(zip(names, layers, strict=True))}


LOWER, UPPER = tar(Member("a", b"1")), tar(Member("a", b"2"))


@pytest.mark.parametrize("tag", ["1", "2", "latest"])
def test_tags_of_a_docker_archive(tag: str, store: ImageStore, tmp_path: Path) -> None:
    archive(tmp_path / "i.tar", saved([LOWER], ["x/layer.tar"]))
    store.pull(f"docker-archive:{tmp_path}/i.tar:{tag}", lambda _: None)
    assert contents(store, f"docker-archive:{tmp_path}/i.tar:{tag}") == [{"a": "file 644 1"}]


def test_packed_layers_and_links_between_them(store: ImageStore, tmp_path: Path) -> None:
    files = saved([packed(LOWER), UPPER, packed(LOWER)], ["one/layer.tar", "two/layer.tar", "three/layer.tar"])
    files["three/layer.tar"] = "../one/layer.tar"
    archive(tmp_path / "i.tar", files)
    reference = f"docker-archive:{tmp_path}/i.tar:1"
    store.pull(reference, lambda _: None)
    assert contents(store, reference) == [{"a": "file 644 1"}, {"a": "file 644 2"}]


def test_the_same_archive_is_the_same_image_and_another_one_is_noticed(store: ImageStore, tmp_path: Path) -> None:
    reference = f"docker-archive:{tmp_path}/i.tar:1"
    archive(tmp_path / "i.tar", saved([LOWER], ["l"]))
    store.pull(reference, lambda _: None)
    first = store.seen()[reference].digest
    (tmp_path / "i.tar").unlink()
    assert store.seen()[reference].digest == first
    archive(tmp_path / "i.tar", saved([UPPER], ["l"]))
    assert reference not in store.seen()
    archive(tmp_path / "i.tar", saved([LOWER], ["l"]))
    assert store.seen()[reference].digest == first


REFUSED: dict[str, tuple[dict[str, bytes | str], str]] = {
    "no manifest": ({"a": b""}, "manifest.json is not in it"),
    "manifest is no JSON": ({"manifest.json": b"{"}, "cannot read image"),
    "manifest is an object": ({"manifest.json": b"{}"}, "has 0 images for '1'; there is no tag"),
    "manifest of numbers": ({"manifest.json": b"[1, 2]"}, "has 0 images for '1'"),
    "another tag": (saved([LOWER], ["l"], RepoTags=["app:3"]), "has 0 images for '1'; there is 3"),
    "no config": ({**saved([LOWER], ["l"], Config="none")}, "none is not in it"),
    "config outside": ({**saved([LOWER], ["l"], Config="../../etc/passwd")}, "../../etc/passwd is not in it"),
    "layer outside": ({**saved([LOWER], ["l"]), "l": "../../../etc/passwd"}, "l is not in it"),
    "links in a loop": ({**saved([LOWER], ["l"]), "l": "m", "m": "l"}, "l is not in it"),
    "more layers than diffIDs": (
        {**saved([LOWER], ["l"], Layers=["l", "l"])},
        "its manifest has 2 layers, its config 1",
    ),
    "layers are no list": ({**saved([LOWER], ["l"], Layers="l")}, "its manifest names no config and layers"),
    "another layer": ({**saved([LOWER], ["l"]), "l": UPPER}, "its content has the digest"),
    "another packed layer": ({**saved([LOWER], ["l"]), "l": packed(UPPER)}, "it has the diffID"),
    "a big manifest": ({"manifest.json": b" " * (5 << 20)}, "it has more than 4194304 bytes"),
    "a config without layers": ({**saved([LOWER], ["l"]), "c.json": b"{}"}, "its config has no list of layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_docker_archives_that_are_refused(name: str, store: ImageStore, tmp_path: Path) -> None:
    files, why = REFUSED[name]
    archive(tmp_path / "i.tar", files)
    with pytest.raises(HostError) as caught:
        store.pull(f"docker-archive:{tmp_path}/i.tar:1", lambda _: None)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_what_is_no_archive(kind: str, store: ImageStore, tmp_path: Path) -> None:
    reference = f"{kind}:{tmp_path}/i.tar:1"
    for content, why in ((None, "No such file"), (packed(LOWER), "it is no plain tar archive"), (b"", "is not in it")):
        if content is not None:
            (tmp_path / "i.tar").write_bytes(content)
        with pytest.raises(HostError, match=why):
            store.pull(reference, lambda _: None)


def test_a_name_that_leads_out_ends_the_archive(tmp_path: Path) -> None:
    archive(tmp_path / "i.tar", {"../x": b"1"})
    with (
        pytest.raises(ValueError, match=r"it is no plain tar archive: its name has \.\."),
        Archive(tmp_path / "i.tar").part("x"),
    ):
        pass


def test_parts_of_an_archive(tmp_path: Path) -> None:
    archive(tmp_path / "i.tar", {"a": b"first", "d/b": b"x" * 1000, "l": "d/b", "a2": b""})
    files = Archive(tmp_path / "i.tar")
    for name, content in (("a", b"first"), ("d/b", b"x" * 1000), ("l", b"x" * 1000), ("a2", b"")):
        with files.part(name) as part:
            assert (part.read(), part.head(), part.digest()) == (content, content[:4], digest(content))


@given(st.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    with tempfile.TemporaryFile() as file, suppress(ValueError):
        file.write(data)
        file.flush()
        assert isinstance(read_index_of(file.fileno()), dict)


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.lists(st.dictionaries(st.sampled_from(["Config", "Layers", "RepoTags"]), ANY) | ANY))
def test_any_manifest_is_read_or_refused(listed: list[Any]) -> None:
    with suppress(ValueError):
        config, layers = select(listed, "latest")
        assert isinstance(config, str)
        assert isinstance(layers, list)
