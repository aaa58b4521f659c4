"""Looks at an appliance's folder: owners and modes, releases, room, certificates, jobs. Nothing is written.

What lies in a program's folder is looked at apart (`doctor.apart`); nothing here waits for a program of the appliance.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from staffetta.base.certificates.service import CertificateService
from staffetta.base.doctor.apart import Apart, not_plain
from staffetta.base.doctor.facts import (
    CertificateTrouble,
    Entry,
    JobSeen,
    PlaceSeen,
    ReleaseSeen,
    RoomSeen,
    StrangersSeen,
    Unseen,
)
from staffetta.base.errors import CertificateRefused
from staffetta.base.installs.feed import JobFeed
from staffetta.base.installs.journal import JOURNAL_NAME, InstallJournal
from staffetta.base.layout import Place, User, folders
from staffetta.base.pairing.shared import MEMORY_NAME
from staffetta.base.trust import TimeFloor
from staffetta.base.updates.answer import AnswerFile
from staffetta.control.appliance import Certificate, Job
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.kernel.errors import StaffettaError
from staffetta.packages.manifest import LARGEST_MANIFEST, MANIFEST_NAME
from staffetta.releases import ReleaseTree
from staffetta.releases.preflight import check_platform
from staffetta.releases.tree import check_files

PROGRAMS: Final = ("base", "site")
MOST_NAMES: Final = 1000
LARGEST_DOCUMENT: Final = 1 << 20
LARGEST_LIST: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class _Needed:
    size: int | None


@dataclass(frozen=True, slots=True)
class _Floor:
    moment: datetime | None


@dataclass(frozen=True, slots=True)
class _OneCertificate:
    certificate: Certificate | None
    trouble: CertificateTrouble | None


@dataclass(frozen=True, slots=True)
class _Certificates:
    each: tuple[_OneCertificate, ...]


@dataclass(frozen=True, slots=True)
class Owners:
    """Whom the programs run as, and who starts keeper; None is not known to whoever looks."""

    keeper: User | None = None
    base: User | None = None
    site: User | None = None

    def of(self, program: str) -> User | None:
        """Whom a program's data belongs to."""
        return self.base if program == "base" else self.site


def owners(paths: AppliancePaths) -> Owners:
    """Read it off keeper's configuration. A configuration that cannot be read tells nothing."""
    try:
        found = paths.root.stat()
        programs = json.loads((paths.keeper / "config.json").read_bytes())["programs"]
        keeper = User(found.st_uid, found.st_gid)
        users = [
            User(int(one["uid"]), int(one["gid"])) if one["uid"] is not None else keeper
            for one in (programs["base"], programs["site"])
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return Owners()
    return Owners(keeper, *users)


def places(paths: AppliancePaths, whose: Owners) -> tuple[PlaceSeen, ...]:
    """Every folder, and the few files without which nothing starts, beside what they are to be."""
    files = (
        Place(paths.description, None, 0o644),
        Place(paths.trust_root, None, 0o644),
        Place(paths.keeper / "config.json", None, 0o600),
    )
    seen: list[PlaceSeen] = []
    links: list[Path] = []
    for place in (*folders(paths, whose.base, whose.site), *files):
        if any(link in place.path.parents for link in links):
            continue  # it lies elsewhere; that its folder is a link is said of that
        seen.append(one := _seen(place, whose))
        if isinstance(one.found, Entry) and one.found.is_link:
            links.append(place.path)
    return tuple(seen)


def _seen(place: Place, whose: Owners) -> PlaceSeen:
    owner = place.owner or whose.keeper
    wanted = None if owner is None else (owner.uid, owner.gid)
    return PlaceSeen(str(place.path), wanted, place.mode, _entry(place.path))


def _entry(path: Path) -> Entry | Unseen | None:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Unseen(f"{path} cannot be looked at: {error.strerror}.")
    return Entry(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), stat.S_ISLNK(found.st_mode))


def strangers(paths: AppliancePaths, whose: Owners, apart: Apart) -> tuple[StrangersSeen | Unseen, ...]:
    """What lies directly in a program's folders and belongs to another user, as after a command run by root, or is no
    file where one is read."""
    if whose.base is None or whose.site is None:
        return (Unseen("Whether all files belong to their programs cannot be seen by this user."),)
    looked = (
        (paths.base, whose.base),
        (paths.base / "journal", whose.base),
        (paths.base / "trust", whose.base),
        (paths.site, whose.site),
    )
    return tuple(
        apart.look(str(folder), user, StrangersSeen, partial(_strangers, paths, folder, user))
        for folder, user in looked
    )


def _strangers(paths: AppliancePaths, folder: Path, user: User) -> StrangersSeen | Unseen:
    try:
        names = tuple(sorted(islice(_not_of(folder, user), MOST_NAMES)))
        odd = tuple(why for path, most in _read_here(paths) if path.parent == folder and (why := not_plain(path, most)))
    except OSError as error:
        return Unseen(f"{error.filename} cannot be looked into: {error.strerror}.")
    return StrangersSeen(str(folder), user.uid, names, odd)


def _read_here(paths: AppliancePaths) -> tuple[tuple[Path, int], ...]:
    """The files that are read here, and how large each may be."""
    return (
        (paths.base / "updates.json", LARGEST_LIST),
        (paths.base / "trust" / "time.json", LARGEST_DOCUMENT),
        (paths.base / "journal" / JOURNAL_NAME, 2 * LARGEST_LIST),
        (paths.base / MEMORY_NAME, LARGEST_DOCUMENT),
        *((paths.certificates / f"{name}.pem", LARGEST_DOCUMENT) for name in ("site", "appliance")),
    )


def not_to_be_read(paths: AppliancePaths, path: Path) -> str | None:
    """Why one of the files that are read here is not to be read."""
    return not_plain(path, dict(_read_here(paths))[path])


def _not_of(folder: Path, user: User) -> Iterator[str]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            try:
                if entry.stat(follow_symlinks=False).st_uid != user.uid:
                    yield entry.name
            except FileNotFoundError:
                continue  # it went while we looked


def release(paths: AppliancePaths, program: str, whose: Owners, apart: Apart) -> ReleaseSeen | Unseen:
    """Compare every file of the current release with its manifest, and ask its Python."""
    what = f"The release of {program}"
    return apart.look(what, whose.base, ReleaseSeen, lambda: _release(paths.releases(program), program))


def _release(root: Path, program: str) -> ReleaseSeen | Unseen:
    tree = ReleaseTree(root)
    version: str | None = None
    try:
        current = tree.current()
        if current is None:
            return ReleaseSeen(program, None)
        version = str(current)
        if odd := not_plain(tree.path(current) / MANIFEST_NAME, LARGEST_MANIFEST):
            return ReleaseSeen(program, version, odd)
        manifest = tree.manifest(current)
        check_files(tree.path(current), manifest)
        # No signature vouches for the program that the manifest names, so that root never runs it.
        asked = os.geteuid() != 0
        if asked:
            check_platform(manifest)
        return ReleaseSeen(program, version, files=len(manifest.files), asked=asked)
    except PermissionError as error:
        said = f"The releases of {program} cannot be read by this user ({error.filename})."
        mine = root.exists() and root.stat().st_uid == os.geteuid()
        return ReleaseSeen(program, version, said) if mine else Unseen(said)
    except (StaffettaError, OSError) as error:
        return ReleaseSeen(program, version, str(error))


def room(paths: AppliancePaths, whose: Owners, apart: Apart, databases: Mapping[str, int]) -> RoomSeen | Unseen:
    """Free room, and what the largest package on offer would take: itself, unpacked, and a copy of the database."""
    try:
        found = os.statvfs(paths.root)
    except OSError as error:
        return Unseen(f"The room in {paths.root} cannot be seen: {error.strerror}.")
    needed = apart.look("What is on offer", whose.base, _Needed, lambda: _needed(paths, databases))
    return RoomSeen(
        folder=str(paths.root),
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        files_free=found.f_favail if found.f_files else None,
        needed=None if isinstance(needed, Unseen) else needed.size,
    )


def _needed(paths: AppliancePaths, databases: Mapping[str, int]) -> _Needed | Unseen:
    answer = paths.base / "updates.json"
    if not os.access(answer, os.R_OK):
        return _Needed(None)
    if odd := not_to_be_read(paths, answer):
        return Unseen(odd)
    offered = AnswerFile(answer).read().infos
    sizes = [info.size + info.installed_size + databases.get(info.kind.value, 0) for info in offered]
    return _Needed(max(sizes, default=None))


def time_floor(paths: AppliancePaths, whose: Owners, apart: Apart) -> datetime | Unseen | None:
    """The latest moment that somebody trusted has signed."""
    floor = apart.look("What was signed last", whose.base, _Floor, lambda: _floor(paths))
    return floor if isinstance(floor, Unseen) else floor.moment


def _floor(paths: AppliancePaths) -> _Floor | Unseen:
    path = paths.base / "trust" / "time.json"
    try:
        if odd := not_to_be_read(paths, path):
            return Unseen(odd)
        return _Floor(TimeFloor(path).read())
    except StaffettaError as error:
        return Unseen(error.message)
    except OSError as error:
        return Unseen(f"{path}, what was signed last, cannot be read: {error.strerror}.")


def certificates(
    paths: AppliancePaths, description: ApplianceDescription, now: datetime, whose: Owners, apart: Apart
) -> tuple[Certificate | CertificateTrouble, ...] | Unseen:
    """Both certificates with their warnings; they must name what their doors are asked by, the shared name too."""
    service = CertificateService(paths, description, clock=lambda: now)

    def read() -> _Certificates | Unseen:
        if not os.access(paths.certificates, os.R_OK | os.X_OK):
            return Unseen("The certificates cannot be read by this user.")
        return _Certificates(tuple(_certificate(paths, service, name) for name in ("site", "appliance")))

    seen = apart.look("The certificates", whose.base, _Certificates, read)
    if isinstance(seen, Unseen):
        return seen
    return tuple(found for one in seen.each if (found := one.certificate or one.trouble) is not None)


def _certificate(paths: AppliancePaths, service: CertificateService, name: str) -> _OneCertificate:
    if odd := not_to_be_read(paths, service.path(name)):
        return _OneCertificate(None, CertificateTrouble(name, odd))
    try:
        return _OneCertificate(service.read(name), None)
    except CertificateRefused as error:
        return _OneCertificate(None, CertificateTrouble(name, error.message))


def jobs(paths: AppliancePaths, whose: Owners, apart: Apart) -> JobSeen | Unseen:
    """What the install journal says, read beside whoever writes it."""
    return apart.look("The install journal", whose.base, JobSeen, lambda: _jobs(paths))


def _jobs(paths: AppliancePaths) -> JobSeen | Unseen:
    folder = paths.base / "journal"
    if not os.access(folder, os.R_OK | os.X_OK):
        return Unseen("The install journal cannot be read by this user.")
    journal = InstallJournal(folder)
    try:
        if odd := not_to_be_read(paths, folder / JOURNAL_NAME):
            return Unseen(f"The install journal cannot be read: {odd}")
        journal.read()
    except (StaffettaError, OSError) as error:
        return Unseen(f"The install journal cannot be read: {error}")
    return job_seen(JobFeed(journal).jobs())


def job_seen(newest_first: tuple[Job, ...]) -> JobSeen:
    """The job that is not over, and the last that is."""
    return JobSeen(
        under_way=next((job for job in newest_first if not job.state.ended), None),
        last=next((job for job in newest_first if job.state.ended), None),
    )
