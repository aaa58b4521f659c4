"""The client packages that this site's release brings along, and which version of the client they make.

The release was verified when it was installed, so its bundle's metadata is read here, not judged: the site needs no
TUF library. A client judges the bundle by the vendor's signature.
"""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from staffetta.kernel.log import get_logger
from staffetta.packages import Kind, parse_info
from staffetta.packages.bundle import BundleIndex, read_index
from staffetta.packages.document import Document
from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.info import PackageInfo

BUNDLE: Final = "share/clients.bundle"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClientBundle:
    """A file, and what the update answer says of it; ``version`` is None when it holds no client."""

    path: Path
    version: str | None
    size: int
    sha256: str

    @classmethod
    def find(cls, release: Path) -> "ClientBundle | None":
        """Read the bundle of a release, if it has one."""
        path = release / BUNDLE
        if not path.is_file():
            return None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, version_in(path), path.stat().st_size, digest)


def version_in(path: Path) -> str | None:
    """Return the newest client in a bundle. One that cannot be read is logged: the site serves without updates."""
    try:
        with path.open("rb") as stream:
            index = read_index(stream)
        infos = [info for info in _described(index) if info.kind is Kind.CLIENT and index.place_of(info)]
    except DocumentInvalid as error:
        _log.error("Jump Clients cannot update: %s", error.message, extra={"bundle": str(path)})
        return None
    return str(max(info.version for info in infos)) if infos else None


def _described(index: BundleIndex) -> list[PackageInfo]:
    """Return what the bundle's list of clients describes; kinds not known here are passed over."""
    try:
        signed = json.loads(index.newest("clients"))["signed"]["targets"]
        entries = [
            (name, target["length"], target["hashes"]["sha256"], target["custom"]) for name, target in signed.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DocumentInvalid("The bundle's list of clients cannot be read.") from None
    known = [entry for entry in entries if Document(entry[0], entry[3]).fields.get("kind") in set(Kind)]
    return [parse_info(*entry) for entry in known]


@functools.cache
def version_handed_out() -> str | None:
    """Return the version that this release's clients become, or None; for the pages."""
    release: Path | None = settings.STAFFETTA_RELEASE
    path = None if release is None else release / BUNDLE
    return version_in(path) if path is not None and path.is_file() else None
