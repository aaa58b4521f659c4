"""Writes the publisher's tars, packages and bundles, so that the same content gives the same bytes."""

import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from backports.zstd import CompressionParameter, ZstdFile

from staffetta.kernel.files import sync_directory
from staffetta.packages import Link, Manifest
from staffetta.packages.bundle import METADATA_FOLDER, TARGETS_FOLDER
from staffetta.packages.manifest import MANIFEST_NAME

_WORKERS: Final = 2  # does not change the bytes, as long as there is at least one


def write_package(output: Path, manifest: Manifest, places: Mapping[str, Path], level: int) -> None:
    """Write a package: the manifest first, then its entries in their order, each read from ``places[path]``."""
    options: dict[int, int] = {
        CompressionParameter.compression_level: level,
        CompressionParameter.checksum_flag: 1,
        CompressionParameter.nb_workers: _WORKERS,
    }
    with (
        _written_whole(output) as file,
        ZstdFile(file, "wb", options=options) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 18) as archive,
    ):
        data = manifest.to_bytes()
        archive.addfile(_member(MANIFEST_NAME, len(data), 0o644), io.BytesIO(data))
        for entry in manifest.files:
            if isinstance(entry, Link):
                member = _member(entry.path, 0, 0o777)
                member.type = tarfile.SYMTYPE
                member.linkname = entry.target
                archive.addfile(member)
            else:
                with places[entry.path].open("rb") as source:
                    archive.addfile(_member(entry.path, entry.size, entry.mode), source)


def write_bundle(output: Path, metadata: Sequence[Path], targets: Sequence[tuple[str, Path]]) -> None:
    """Write a bundle: the metadata files, then the targets (name in the repository, file) in the order given."""
    with _written_whole(output) as file, tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        members = [(METADATA_FOLDER + path.name, path) for path in metadata]
        members += [(TARGETS_FOLDER + name, path) for name, path in targets]
        for name, path in members:
            with path.open("rb") as source:
                archive.addfile(_member(name, path.stat().st_size, 0o644), source)


def _member(name: str, size: int, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, 0
    return member


@contextmanager
def _written_whole(output: Path) -> Iterator[BinaryIO]:
    """Give a file to write to that becomes ``output`` only when all of it is on the disk."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_directory(output.parent)
