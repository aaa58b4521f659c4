"""Packages for clients out of a site's bundle: verified by the vendor's signature alone, with a floor of their own.

A client (or a site that wants to know what it hands out) needs no update server for this; see ``packages.trust``.
"""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from staffetta.kernel.files import sync_directory, write_atomically
from staffetta.packages import PackageInfo
from staffetta.packages.bundle import read_index
from staffetta.packages.document import Document, canonical_bytes
from staffetta.packages.trust import CLIENTS_ROLE, ClientTrust, TrustFloor, verify_clients
from staffetta.releases.disk import disk_full_named, require_space
from staffetta.releases.errors import ReleaseMissing
from staffetta.releases.package_file import PIECE, require_described

FLOOR_NAME: Final = "client-floor.json"
ROOT_NAME: Final = "root.json"


class ClientBundle:
    """A bundle file that was verified for clients: the packages it holds, and a way to take one out."""

    def __init__(self, path: Path, directory: Path, root: bytes, now: datetime) -> None:
        """Verify the bundle at ``path``; raises ``NotTrusted``, ``Expired``, ``OlderMetadata``, ``DocumentInvalid``.

        ``directory`` keeps the newest root and the floor between bundles, ``root`` is the root of trust the client
        was installed with, ``now`` the trusted time.
        """
        self._path = path
        with path.open("rb") as stream:
            self._index = read_index(stream)
        trust = verify_clients(
            # The newest root verified before; the bundle's history goes on from there.
            _read_or(directory / ROOT_NAME, root),
            self._index.roots(),
            self._index.newest("targets"),
            self._index.newest(CLIENTS_ROLE),
            now=now,
            floor=_floor(directory),
        )
        _remember(directory, trust)
        self.infos: tuple[PackageInfo, ...] = tuple(
            sorted((info for info in trust.infos if self._index.place_of(info)), key=lambda info: info.version)
        )

    def extract(self, info: PackageInfo, destination: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy a package out of the bundle, verified, under ``.part`` until it is on the disk."""
        place = self._index.place_of(info)
        if info not in self.infos or place is None:
            raise ReleaseMissing(f"The bundle does not hold {info.target}.")
        require_space(destination.parent, info.size)
        part = destination.with_name(f"{destination.name}.part")
        try:
            with disk_full_named(destination.parent), self._path.open("rb") as source, part.open("wb") as file:
                source.seek(place.offset)
                left = place.size
                while left and (piece := source.read(min(PIECE, left))):
                    file.write(piece)
                    left -= len(piece)
                    if progress is not None:
                        progress(place.size - left, place.size)
                file.flush()
                os.fsync(file.fileno())
            require_described(part, info)
            part.replace(destination)
            sync_directory(destination.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def open_client_bundle(path: Path, directory: Path, root: bytes, now: datetime) -> ClientBundle:
    """Verify a bundle for clients and return what it holds; see ``ClientBundle``."""
    return ClientBundle(path, directory, root, now)


def _floor(directory: Path) -> TrustFloor:
    data = _read_or(directory / FLOOR_NAME, b"")
    if not data:
        return TrustFloor()
    document = Document.parse(f"The file {directory / FLOOR_NAME}", data)
    return TrustFloor(document.number("root"), document.number("targets"), document.number("clients"))


def _remember(directory: Path, trust: ClientTrust) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    floor = {"root": trust.floor.root, "targets": trust.floor.targets, "clients": trust.floor.clients}
    for name, data in ((ROOT_NAME, trust.root.data), (FLOOR_NAME, canonical_bytes(floor))):
        if _read_or(directory / name, b"") != data:
            write_atomically(directory / name, data)


def _read_or(path: Path, default: bytes) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return default
