"""An image in an OCI layout: `oci:/absolute/path[:TAG]`, or the same in one file, `oci-archive:/path.tar[:TAG]`.

A source for `store`, beside `registry`, with the same checks: a folder may come from a stranger as well. Source: OCI
image-spec image-layout.md.
"""

from __future__ import annotations

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor, Entry, digest_of, read_index, read_json
from reconciler.host.images.files import Advance, Files, Stamp


class Layout:
    """One image of a layout."""

    mirror = ""

    def __init__(self, reference: str, files: Files, tag: str) -> None:
        self._reference = reference
        self._files = files
        self._tag = tag

    def top(self) -> tuple[str, bytes]:
        """Type and text of the manifest or index that the tag names."""
        try:
            descriptor = select(read_index(read_json(self._read("index.json"))), self._tag)
        except ValueError as error:
            raise HostError(f"cannot read image {self._reference}: index.json: {error}") from None
        return descriptor.media_type, self.document(descriptor)

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or config by its digest, checked."""
        body = self._read(_blob(descriptor))
        if digest_of(body) != descriptor.digest:
            raise HostError(f"cannot read image {self._reference}: blob {descriptor.digest} has another content")
        return body

    def send(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        """Write the blob of `layer` into the pipe `sink`; `advance` hears of every piece, in bytes."""
        try:
            with self._files.part(_blob(layer)) as part:
                part.send(sink, advance)
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise self._error(_blob(layer), error) from error

    def stamp(self) -> Stamp:
        """Changes whenever `index.json` does; zeros when it is not there."""
        return self._files.stamp()

    def _read(self, name: str) -> bytes:
        try:
            with self._files.part(name) as part:
                return part.read()
        except (OSError, ValueError) as error:
            raise self._error(name, error) from error

    def _error(self, name: str, error: OSError | ValueError) -> HostError:
        return HostError(f"cannot read image {self._reference}: {name}: {getattr(error, 'strerror', None) or error}")


def _blob(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{descriptor.digest.removeprefix('sha256:')}"


def select(entries: tuple[Entry, ...], tag: str) -> Descriptor:
    """The entry with `tag`; the only one there is also answers to `latest`. Raises ValueError."""
    wanted = [entry for entry in entries if entry.name == tag]
    if not wanted and tag == "latest" and len(entries) == 1:
        wanted = list(entries)
    if len(wanted) != 1:
        names = ", ".join(sorted(entry.name for entry in entries if entry.name)) or "no tag"
        raise ValueError(f"the layout has {len(wanted)} images for {tag!r}; there is {names}")
    return wanted[0].descriptor
