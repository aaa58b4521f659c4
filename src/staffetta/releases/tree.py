"""The releases of one program on a disk: staged beside, checked file by file, flipped by a rename, pruned.

    <root>/<version>/            a whole release; never written again once it has this name
    <root>/current -> <version>  the one that is started
    <root>/.staging-<version>/   being written; removed at the next staging or pruning

Killed at any moment, the tree holds what it held before, or that and the new release: a name without a dot is whole
and on the disk, and ``current`` is replaced in one rename (U10).
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from staffetta.kernel.files import replace_link, sha256_of, sync_directory
from staffetta.kernel.ids import new_id
from staffetta.packages import Link, Manifest, PackageInfo, RegularFile, Version, parse_version
from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.manifest import MANIFEST_NAME, Entry
from staffetta.releases.disk import disk_full_named, require_space, sync_file_system
from staffetta.releases.errors import PackageDamaged, ReleaseInUse, ReleaseMissing
from staffetta.releases.package_file import PIECE, Progress, read_manifest, read_package, require_described
from staffetta.releases.preflight import check_platform

CURRENT: Final = "current"
_STAGING: Final = ".staging-"
_REMOVING: Final = ".removing-"
_FLIPPING: Final = ".current-"


class ReleaseTree:
    """One program's folder of releases. One process at a time may change it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> tuple[Version, ...]:
        """Return the versions on the disk, from the oldest to the newest."""
        return tuple(sorted(version for version, _ in self._releases()))

    def current(self) -> Version | None:
        """Return the version that ``current`` leads to, or None when nothing was flipped to yet."""
        try:
            return parse_version(str((self.root / CURRENT).readlink()))
        except FileNotFoundError:
            return None

    def path(self, version: Version) -> Path:
        """Return a release's folder; raises ``ReleaseMissing``."""
        path = self.root / str(version)
        if not path.is_dir():
            raise ReleaseMissing(f"There is no release {version} in {self.root}.")
        return path

    def manifest(self, version: Version) -> Manifest:
        """Return the manifest of a release on the disk."""
        try:
            return Manifest.parse((self.path(version) / MANIFEST_NAME).read_bytes())
        except FileNotFoundError:
            raise PackageDamaged(f"The release {version} has lost its manifest; install it again.") from None

    def reserve(self, size: int, files: int = 0) -> None:
        """Raise ``DiskFull`` unless ``size`` bytes (and so many files) can be written here."""
        if not self.root.is_dir():
            self.root.mkdir(parents=True)
            sync_directory(self.root.parent)
        require_space(self.root, size, files)

    def stage(self, package: Path, info: PackageInfo, progress: Progress | None = None) -> Path:
        """Unpack a package beside the others, sync it to the disk, give it its name; returns its folder.

        Before anything is written: the file is the signed one, its manifest says what was signed, it can run here,
        there is room. A whole release of that version that is already there is kept. Raises ``PackageDamaged``,
        ``DocumentInvalid``, ``PlatformUnfit``, ``DiskFull``, or ``ReleaseInUse`` for a damaged current release.
        """
        require_described(package, info)
        manifest = read_manifest(package)
        if not info.describes(manifest):
            raise PackageDamaged(f"The package {info.target} is not the one that was signed under this name.")
        check_platform(manifest)
        final = self.root / str(info.version)
        if final.exists():
            if self._is_whole(info.version, manifest):
                return final
            self.remove(info.version)
        # What an earlier try left behind must not count against the room for this one.
        self._clear(_STAGING)
        self.reserve(manifest.installed_size, len(manifest.files))
        staging = self.root / f"{_STAGING}{info.version}"
        try:
            with disk_full_named(self.root):
                read_package(package, _Unpacked(staging), progress)
                sync_file_system(staging)
                staging.rename(final)
                sync_directory(self.root)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return final

    def check(self, version: Version, progress: Progress | None = None) -> Manifest:
        """Compare every file of a release with its manifest, and ask its interpreter; returns the manifest.

        Raises ``PackageDamaged`` naming the first file that is changed, missing or extra, or ``PlatformUnfit``.
        """
        manifest, path = self.manifest(version), self.path(version)
        check_files(path, manifest, progress)
        check_platform(manifest)
        return manifest

    def flip(self, version: Version) -> None:
        """Make ``current`` lead to a release, in one rename that a power cut cannot halve."""
        self.path(version)
        replace_link(self.root / CURRENT, str(version))

    def remove(self, version: Version) -> None:
        """Remove a release; raises ``ReleaseInUse`` for the current one."""
        path = self.path(version)
        if version == self.current():
            raise ReleaseInUse(f"The release {version} is the current one and cannot be removed.")
        # Renamed first: what keeps its name is always whole.
        leaving = self.root / f"{_REMOVING}{new_id()}"
        path.rename(leaving)
        sync_directory(self.root)
        shutil.rmtree(leaving)

    def prune(self, keep: set[Version]) -> tuple[Version, ...]:
        """Remove every release but the current one and those to keep, and what was left half done; returns which."""
        current = self.current()
        gone = tuple(v for v in self.versions() if v not in keep and v != current)
        for version in gone:
            self.remove(version)
        for prefix in (_STAGING, _REMOVING, _FLIPPING):
            self._clear(prefix)
        return gone

    def _releases(self) -> Iterator[tuple[Version, Path]]:
        if not self.root.is_dir():
            return
        for path in self.root.iterdir():
            if path.name.startswith(".") or path.is_symlink() or not path.is_dir():
                continue
            try:
                yield parse_version(path.name), path
            except DocumentInvalid:
                continue  # a folder somebody else put here

    def _is_whole(self, version: Version, manifest: Manifest) -> bool:
        try:
            return self.check(version) == manifest
        except (PackageDamaged, DocumentInvalid):
            return False

    def _clear(self, prefix: str) -> None:
        for path in self.root.glob(f"{prefix}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def check_files(root: Path, manifest: Manifest, progress: Progress | None = None) -> None:
    """Compare a folder with a manifest; raises ``PackageDamaged`` naming the first difference."""
    total, done = manifest.installed_size, 0
    for entry in manifest.files:
        _check_entry(root, entry)
        if isinstance(entry, RegularFile):
            done += entry.size
            if progress is not None:
                progress(done, total)
    stated = {entry.path for entry in manifest.files} | {MANIFEST_NAME}
    for folder, folders, names in os.walk(root):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in (*names, *links):
            if (found := (Path(folder) / name).relative_to(root).as_posix()) not in stated:
                raise PackageDamaged(f"The release in {root} holds {found!r}, which its manifest does not name.")


def _check_entry(root: Path, entry: Entry) -> None:
    path = root / entry.path
    try:
        if isinstance(entry, Link):
            whole = path.is_symlink() and str(path.readlink()) == entry.target
        else:
            state = path.lstat()
            # Opened only once it is known to be a plain file: a pipe in its place would be waited for.
            plain = state.st_mode == 0o100000 | entry.mode and state.st_size == entry.size
            whole = plain and sha256_of(path) == entry.sha256
    except (FileNotFoundError, NotADirectoryError):
        raise PackageDamaged(f"The release in {root} lacks {entry.path!r}; install it again.") from None
    if not whole:
        raise PackageDamaged(f"The release in {root} has a changed {entry.path!r}; install it again.")


class _Unpacked:
    """A sink that writes a package into a new folder. The manifest's rules keep every path inside it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: set[Path] = set()

    def begin(self, manifest: Manifest, manifest_bytes: bytes) -> None:
        self._root.mkdir(mode=0o755)
        self._root.chmod(0o755)  # whatever the umask says
        self._folders.add(self._root)
        digest = hashlib.sha256(manifest_bytes).hexdigest()
        self.file(RegularFile(MANIFEST_NAME, digest, len(manifest_bytes), 0o644), iter((manifest_bytes,)))

    def file(self, entry: RegularFile, pieces: Iterator[bytes]) -> None:
        path = self._root / entry.path
        self._folder(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=PIECE) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), entry.mode)

    def link(self, entry: Link) -> None:
        path = self._root / entry.path
        self._folder(path.parent)
        path.symlink_to(entry.target)

    def _folder(self, folder: Path) -> None:
        if folder in self._folders:
            return
        self._folder(folder.parent)
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        self._folders.add(folder)
