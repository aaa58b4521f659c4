"""Publishes package files and puts bundles together: reads and proves what is to be signed before it is."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from staffetta.packages import Manifest, PackageInfo, RegularFile, eula_target
from staffetta.packages.bundle import hashed_name
from staffetta.packages.manifest import EULA_NAME
from staffetta.releases.package_file import Discard, read_package
from staffetta.vendor.archive import write_bundle
from staffetta.vendor.errors import RepositoryMissing
from staffetta.vendor.keys import KeyFolder
from staffetta.vendor.repository import Publication, Repository


class _Agreement(Discard):
    """A sink that keeps the text of the agreement and proves the rest."""

    def __init__(self) -> None:
        self.text: bytes | None = None

    def file(self, entry: RegularFile, pieces: Iterator[bytes]) -> None:
        """Read the file to its verified end."""
        if entry.path == EULA_NAME:
            self.text = b"".join(pieces)
        else:
            super().file(entry, pieces)


def publish(repository: Repository, keys: KeyFolder, files: Sequence[Path], now: datetime) -> tuple[PackageInfo, ...]:
    """Read every package to its end, then sign and show them all at once.

    Raises ``PackageDamaged`` or ``DocumentInvalid`` for a file that is no whole package: nothing is signed then.
    """
    publications = []
    for file in files:
        if not file.is_file():
            raise RepositoryMissing(f"There is no package file {file}.")
        agreement = _Agreement()
        manifest: Manifest = read_package(file, agreement)
        publications.append(Publication(file, manifest, agreement.text))
    return repository.publish(publications, keys, now)


def bundle(repository: Repository, names: Sequence[str], output: Path) -> tuple[PackageInfo, ...]:
    """Write one file with the signed metadata and the named packages in the order given (U4).

    A package is named by its target or as ``kind/version``.
    """
    chosen = [_find(repository, name) for name in names]
    targets: dict[str, Path] = {}
    for info in chosen:
        targets[hashed_name(info.target, info.sha256)] = repository.target_file(info.target, info.sha256)
        if (eula := info.eula_sha256) is not None:
            targets[hashed_name(eula_target(eula), eula)] = repository.target_file(eula_target(eula), eula)
    write_bundle(output, repository.metadata_files(), list(targets.items()))
    return tuple(chosen)


def _find(repository: Repository, name: str) -> PackageInfo:
    infos = repository.infos()
    for info in infos:
        if name in (info.target, f"{info.kind}/{info.version}"):
            return info
    known = ", ".join(f"{info.kind}/{info.version}" for info in infos) or "nothing"
    raise RepositoryMissing(f"{name} is not published; published are: {known}.")
