"""The vendor's repository as an appliance trusts it: python-tuf's client, with what it lacks added in this one place.

Added to ``tuf.ngclient.Updater``: the trusted time is passed in, every stored file is synced to the disk, a version
floor survives the loss of those files, a download shows its progress and goes straight beside its destination, and
every error is a sentence an administrator can act on. An Updater refreshes once; each refresh here takes a new one.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Root, Snapshot, TargetFile, Targets, Timestamp  # type: ignore[attr-defined]
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater

from staffetta.kernel.files import sync_directory
from staffetta.kernel.sizes import spoken_size
from staffetta.packages import Installed, PackageInfo, eula_target
from staffetta.packages.bundle import hashed_name
from staffetta.packages.errors import DocumentInvalid, Expired, NotTrusted, OlderMetadata
from staffetta.packages.selection import require_installable
from staffetta.packages.trust import RootTrust, follow_roots, package_infos
from staffetta.releases.disk import disk_full_named, require_space
from staffetta.releases.errors import PackageDamaged, ReleaseMissing, ServerUnreachable
from staffetta.releases.floor import Seen, VersionFloor
from staffetta.releases.package_file import Progress
from staffetta.releases.sources import BundleSource, HttpSource, Source

LARGEST_EULA: Final = 1 << 20
_METADATA: Final = "metadata"
_BUNDLE_METADATA: Final = "bundle-metadata"
_ROLES: Final = (Root.type, Timestamp.type, Snapshot.type, Targets.type)
# A timestamp is signed anew every few days with nothing else changed; a bundle made before that is still good.
_OFFLINE_ROLES: Final = (Root.type, Targets.type)

_log = logging.getLogger(__name__)


class TrustedRepository:
    """What the vendor signed, read from one source. One process at a time may use a directory.

    ``directory`` holds the stored metadata and the floor (both are to be kept); ``root`` is the root of trust the
    appliance came with.
    """

    def __init__(self, directory: Path, root: bytes, source: Source) -> None:
        self._directory = directory
        self._bootstrap = root
        self._source = source
        self._floor = VersionFloor(directory)
        self._updater: _Updater | None = None
        self._infos: tuple[PackageInfo, ...] = ()

    @property
    def root(self) -> RootTrust:
        """The newest root that is trusted here, from the stored chain; raises ``NotTrusted`` if that is broken."""
        return follow_roots(self._bootstrap, self._stored_roots())

    def refresh(self, now: datetime) -> tuple[PackageInfo, ...]:
        """Fetch and verify the signed metadata, and return the packages an appliance may be offered.

        ``now`` is the trusted time, by which expiry is judged. From a bundle, the packages it holds, in its order.
        Raises ``NotTrusted``, ``Expired``, ``OlderMetadata``, ``DocumentInvalid`` or ``ServerUnreachable``.
        """
        folder = self._directory / (_BUNDLE_METADATA if self._source.offline else _METADATA)
        roles = _OFFLINE_ROLES if self._source.offline else _ROLES
        self._updater, self._infos = None, ()
        for place in (self._directory, folder, folder / "root_history"):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._source.offline:
            # Each bundle is judged by itself and by the floor, not against another bundle's timestamp.
            for path in folder.glob("*.json"):
                path.unlink()
        try:
            with disk_full_named(self._directory), _in_words(self._source):
                updater = _Updater(folder, self._bootstrap, self._source, now)
                updater.refresh()
        finally:
            _sync_all(folder)
        found = updater.seen()
        self._floor.judge(found, roles)
        self._floor.raise_to(found, roles)
        infos = tuple(info for info in package_infos(updater.targets) if self._source.holds(info))
        if isinstance(self._source, BundleSource):
            infos = tuple(sorted(infos, key=self._source.place))
        self._updater, self._infos = updater, infos
        _log.info("verified metadata", extra={"source": self._source.name, "packages": len(infos)})
        return infos

    def download(
        self,
        info: PackageInfo,
        destination: Path,
        progress: Progress | None = None,
        installed: Installed | None = None,
    ) -> None:
        """Bring a package to ``destination``: under ``.part`` until it is whole, verified and on the disk.

        Given what is installed, an older package or one with unmet requirements is refused first (U2, U14).
        Raises ``PackageDamaged`` for a wrong size or hash, ``DiskFull``, ``ServerUnreachable``.
        """
        if installed is not None:
            require_installable(installed, info)
        if info not in self._infos:
            raise ReleaseMissing(f"{info.kind} {info.version} is no longer on offer. Check for updates again.")
        require_space(destination.parent, info.size)
        self._fetch(self._verified().target(info.target), destination, progress)

    def eula(self, info: PackageInfo) -> str | None:
        """Return the text of a package's agreement, verified; None when it has none (U8)."""
        if info.eula_sha256 is None:
            return None
        target = self._verified().target(eula_target(info.eula_sha256))
        if target.length > LARGEST_EULA:
            raise DocumentInvalid(f"The agreement of {info.target} is larger than {LARGEST_EULA} bytes.")
        path = self._directory / f"agreement-{info.eula_sha256}.txt"
        try:
            data = path.read_bytes()
            target.verify_length_and_hashes(data)
        except (FileNotFoundError, tuf_errors.LengthOrHashMismatchError):
            self._fetch(target, path, None)
            data = path.read_bytes()
        return data.decode(errors="replace")

    def _verified(self) -> "_Updater":
        if self._updater is None:
            raise ReleaseMissing("The list of packages was not verified yet. Check for updates first.")
        return self._updater

    def _fetch(self, target: TargetFile, destination: Path, progress: Progress | None) -> None:
        part = destination.with_name(f"{destination.name}.part")
        url = self._source.targets_url + hashed_name(target.path, target.hashes["sha256"])
        try:
            with disk_full_named(destination.parent), _in_words(self._source), part.open("w+b") as file:
                done = 0
                for piece in self._source.fetcher.fetch(url):
                    done += len(piece)
                    if done > target.length:
                        raise PackageDamaged(
                            f"More came from {self._source.name} for {target.path} than the {target.length} bytes "
                            "that were signed; nothing of it is kept."
                        )
                    file.write(piece)
                    if progress is not None:
                        progress(done, target.length)
                if done < target.length:
                    raise ServerUnreachable(
                        f"The download of {target.path} from {self._source.name} broke off after "
                        f"{spoken_size(done)} of {spoken_size(target.length)}. Try again."
                    )
                file.seek(0)
                target.verify_length_and_hashes(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(destination)
            sync_directory(destination.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _stored_roots(self) -> Iterator[bytes]:
        paths = self._directory.glob("*/root_history/*.root.json")
        numbered = sorted((int(path.name.partition(".")[0]), path) for path in paths)
        return (path.read_bytes() for _, path in numbered)


def open_repository(url: str, directory: Path, root: bytes) -> TrustedRepository:
    """Return the repository of an update server."""
    return TrustedRepository(directory, root, HttpSource(url))


def open_bundle(path: Path, directory: Path, root: bytes) -> TrustedRepository:
    """Return the repository inside a bundle file, verified wholly offline (U4).

    ``directory`` and ``root`` are those of ``open_repository``: both share the version floor. Raises
    ``DocumentInvalid`` when the file is no bundle.
    """
    return TrustedRepository(directory, root, BundleSource(path))


class _Updater(Updater):
    """The library's client with the trusted time passed in, and its verified metadata to be read."""

    def __init__(self, folder: Path, root: bytes, source: Source, now: datetime) -> None:
        super().__init__(
            str(folder), source.metadata_url, fetcher=source.fetcher, config=UpdaterConfig(), bootstrap=root
        )
        # The library reads the clock here and has no parameter for it.
        self._trusted_set.reference_time = now

    @property
    def targets(self) -> Targets:
        """The verified top-level targets."""
        return self._trusted_set.targets

    def target(self, name: str) -> TargetFile:
        """Return the verified description of one target."""
        target = self.targets.targets.get(name)
        if target is None or "sha256" not in target.hashes:
            raise ReleaseMissing(f"{name} is not among the packages the vendor signed.")
        return target

    def seen(self) -> dict[str, Seen]:
        """Return the version and the keys of every top-level role."""
        trusted = self._trusted_set
        return {
            role: Seen(signed.version, frozenset(trusted.root.roles[role].keyids))
            for role, signed in (
                (Root.type, trusted.root),
                (Timestamp.type, trusted.timestamp),
                (Snapshot.type, trusted.snapshot),
                (Targets.type, trusted.targets),
            )
        }


def _sync_all(folder: Path) -> None:
    """Make durable what the library stored: it renames files into place and syncs none."""
    for place in (folder, folder / "root_history"):
        for path in place.iterdir():
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_directory(place)


@contextmanager
def _in_words(source: Source) -> Iterator[None]:
    """Turn what the TUF library raises into errors with a reason and a way out."""
    try:
        yield
    except tuf_errors.ExpiredMetadataError as error:
        raise Expired(
            f"The signed list of packages from {source.name} is out of date ({error}). Check this appliance's clock; "
            "if it is right, the list is being held back or the vendor has not renewed it."
        ) from None
    except tuf_errors.UnsignedMetadataError as error:
        raise NotTrusted(
            f"The list of packages from {source.name} is not signed by keys this appliance trusts ({error})."
        ) from None
    except tuf_errors.BadVersionNumberError as error:
        raise OlderMetadata(
            f"The list of packages from {source.name} is older than, or does not belong to, what was seen before "
            f"({error})."
        ) from None
    except (tuf_errors.LengthOrHashMismatchError, tuf_errors.DownloadLengthMismatchError) as error:
        raise PackageDamaged(
            f"What {source.name} sent is not what was signed: it was damaged on the way, or changed. Nothing was kept; "
            f"fetch it again. ({error})"
        ) from None
    except tuf_errors.RepositoryError as error:
        raise DocumentInvalid(f"The signed list of packages from {source.name} cannot be used ({error}).") from None
    except tuf_errors.DownloadHTTPError as error:
        raise ServerUnreachable(f"Something that was signed cannot be had from {source.name} ({error}).") from None
    except tuf_errors.DownloadError as error:
        cause = error if error.__cause__ is None else error.__cause__
        raise ServerUnreachable(f"No proper answer came from {source.name} ({cause}). Try again.") from None
