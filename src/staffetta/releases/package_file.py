"""Reads a package file once, front to back, and hands out only what its manifest states.

Rules: the manifest comes first; every further member is one it names, with the size, mode, hash or link it states;
nothing is missing at the end. Hostile archives meet limits before memory: the manifest's size, and each file's.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from backports.zstd import DecompressionParameter, ZstdError, ZstdFile

from staffetta.kernel.files import sha256_of
from staffetta.packages import Link, Manifest, PackageInfo, RegularFile
from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.manifest import LARGEST_MANIFEST, MANIFEST_NAME
from staffetta.releases.errors import PackageDamaged

Progress = Callable[[int, int], None]
"""Called often with bytes done and bytes in all; what it raises ends the work, and nothing half done is left."""

PIECE: Final = 1 << 18
_WINDOW_LOG: Final = 27  # at most 128 MiB of memory for a frame's window


class Sink(Protocol):
    """Where a package's content goes."""

    def begin(self, manifest: Manifest, manifest_bytes: bytes) -> None:
        """Told the manifest before any file."""

    def file(self, entry: RegularFile, pieces: Iterator[bytes]) -> None:
        """Given a file; must exhaust ``pieces``, whose end raises ``PackageDamaged`` if the hash is wrong."""

    def link(self, entry: Link) -> None:
        """Given a link."""


class Discard:
    """A sink for those who only want to know that a package is whole."""

    def begin(self, manifest: Manifest, manifest_bytes: bytes) -> None:
        """Keep nothing."""

    def file(self, entry: RegularFile, pieces: Iterator[bytes]) -> None:
        """Read the file to its verified end."""
        for _ in pieces:
            pass

    def link(self, entry: Link) -> None:
        """Keep nothing."""


def read_manifest(package: Path) -> Manifest:
    """Return a package's manifest, reading no further than that."""
    with _archive(package) as archive:
        return _manifest(archive, package)[0]


def read_package(package: Path, sink: Sink, progress: Progress | None = None) -> Manifest:
    """Read a whole package into a sink; raises ``PackageDamaged`` or ``DocumentInvalid`` at the first thing wrong."""
    with _archive(package) as archive:
        manifest, data = _manifest(archive, package)
        sink.begin(manifest, data)
        expected = {entry.path: entry for entry in manifest.files}
        total, done = manifest.installed_size, 0
        # Not `for member in archive`, which begins again with the manifest.
        while (member := archive.next()) is not None:
            entry = expected.pop(member.name, None)
            if entry is None:
                raise PackageDamaged(f"The package holds {member.name!r}, which its manifest does not name.")
            if isinstance(entry, Link):
                if not member.issym() or member.linkname != entry.target:
                    raise PackageDamaged(f"The package's {entry.path!r} is not the link its manifest states.")
                sink.link(entry)
                continue
            if not member.isreg() or member.size != entry.size or member.mode != entry.mode:
                raise PackageDamaged(f"The package's {entry.path!r} is not the file its manifest states.")
            content = archive.extractfile(member)
            assert content is not None  # a regular file has content
            sink.file(entry, _verified(content, entry))
            done += entry.size
            if progress is not None:
                progress(done, total)
        if expected:
            raise PackageDamaged(f"The package lacks {min(expected)!r}, which its manifest names.")
    return manifest


def require_described(package: Path, info: PackageInfo) -> None:
    """Raise ``PackageDamaged`` unless the file has the size and SHA-256 that were signed."""
    size = package.stat().st_size
    if size != info.size:
        raise PackageDamaged(f"The file of {info.kind} {info.version} has {size} bytes; {info.size} were signed.")
    if sha256_of(package) != info.sha256:
        raise PackageDamaged(
            f"The file of {info.kind} {info.version} is damaged: its SHA-256 is not the signed one. Download it again."
        )


@contextmanager
def _archive(package: Path) -> Iterator[tarfile.TarFile]:
    """Open the tar inside a package; what zstd and tar say against it, then or later, becomes ``PackageDamaged``."""
    options: dict[int, int] = {DecompressionParameter.window_log_max: _WINDOW_LOG}
    try:
        with (
            ZstdFile(package, options=options) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as archive,
        ):
            yield archive
    except (ZstdError, tarfile.TarError, EOFError) as error:
        raise PackageDamaged(f"{package.name} is no package, or it is damaged: {error}.") from None


def _manifest(archive: tarfile.TarFile, package: Path) -> tuple[Manifest, bytes]:
    member = archive.next()
    if member is None or member.name != MANIFEST_NAME or not member.isreg():
        raise PackageDamaged(f"{package.name} is no package: it does not begin with its manifest.")
    if member.size > LARGEST_MANIFEST:
        raise DocumentInvalid(f"The package's manifest is larger than {LARGEST_MANIFEST} bytes.")
    content = archive.extractfile(member)
    assert content is not None  # a regular file has content
    data = content.read()
    return Manifest.parse(data), data


def _verified(content: IO[bytes], entry: RegularFile) -> Iterator[bytes]:
    digest = hashlib.sha256()
    while piece := content.read(PIECE):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != entry.sha256:
        raise PackageDamaged(f"The package's {entry.path!r} is damaged: its SHA-256 is not the manifest's.")
