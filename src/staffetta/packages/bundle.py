"""What is in a bundle: one uncompressed tar with ``metadata/`` and ``targets/`` as a TUF repository lays them out (U4).

Nothing is unpacked and nothing is believed here: a bundle is an index of byte ranges, verified by whoever reads them.
"""

import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.info import PackageInfo

METADATA_FOLDER: Final = "metadata/"
TARGETS_FOLDER: Final = "targets/"
MOST_MEMBERS: Final = 4096
LARGEST_METADATA: Final = 5_000_000
_VERSIONED: Final = re.compile(r"([1-9][0-9]{0,9})\.([a-z]+)\.json")


@dataclass(frozen=True, slots=True)
class Range:
    """Where in the bundle's file a target's bytes are."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class BundleIndex:
    """The metadata files of a bundle, whole, and where each target is; both by name, in the bundle's order."""

    metadata: Mapping[str, bytes]
    targets: Mapping[str, Range]

    def newest(self, role: str) -> bytes:
        """Return the metadata file of a role with the highest version in its name."""
        versions = [
            (int(match[1]), name)
            for name in self.metadata
            if (match := _VERSIONED.fullmatch(name)) and match[2] == role
        ]
        if not versions:
            raise DocumentInvalid(f"The bundle has no {role}.json; it is incomplete, make it again.")
        return self.metadata[max(versions)[1]]

    def roots(self) -> tuple[bytes, ...]:
        """Return every root in the bundle, in rising version."""
        versions = [
            (int(match[1]), name)
            for name in self.metadata
            if (match := _VERSIONED.fullmatch(name)) and match[2] == "root"
        ]
        return tuple(self.metadata[name] for _, name in sorted(versions))

    def place_of(self, info: PackageInfo) -> Range | None:
        """Return where a package's bytes are, or None if the bundle does not hold it."""
        return self.targets.get(hashed_name(info.target, info.sha256))


def hashed_name(target: str, sha256: str) -> str:
    """Return a target's file name in a repository with consistent snapshots: ``site/<sha256>.site-1.4.0.tar.zst``."""
    folder, slash, name = target.rpartition("/")
    return f"{folder}{slash}{sha256}.{name}"


def read_index(stream: BinaryIO) -> BundleIndex:
    """Read what a bundle holds; raises ``DocumentInvalid`` if it is no bundle. The stream must be seekable."""
    metadata: dict[str, bytes] = {}
    targets: dict[str, Range] = {}
    try:
        # The cast says what tarfile needs of a file: read, seek and tell.
        with tarfile.open(fileobj=cast(BinaryIO, _Metered(stream)), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise DocumentInvalid(f"The bundle holds more than {MOST_MEMBERS} files.")
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    continue
                if member.name.startswith(METADATA_FOLDER):
                    if member.size > LARGEST_METADATA:
                        raise DocumentInvalid(f"The bundle's {member.name} is larger than {LARGEST_METADATA} bytes.")
                    content = archive.extractfile(member)
                    assert content is not None  # a regular file has content
                    metadata[member.name.removeprefix(METADATA_FOLDER)] = content.read()
                elif member.name.startswith(TARGETS_FOLDER):
                    targets[member.name.removeprefix(TARGETS_FOLDER)] = Range(member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DocumentInvalid(f"This is not a bundle of packages, or it is damaged: {error}.") from None
    if not metadata:
        raise DocumentInvalid("This is not a bundle of packages: it holds no signed metadata.")
    return BundleIndex(metadata, targets)


class _Metered:
    """A stream that is never read in pieces larger than a metadata file: tar has headers that claim any size."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_METADATA + tarfile.BLOCKSIZE:
            raise DocumentInvalid("The bundle has a header that is larger than any it needs; it is damaged.")
        return self._stream.read(size)
