"""Looks at an appliance's folder with the rights of whoever asks: owners and modes, releases, room, certificates, jobs.

Nothing is written, and nothing waits for a program of the appliance.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from staffetta.base.certificates.service import CertificateService
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
from staffetta.base.installs.journal import InstallJournal
from staffetta.base.layout import Place, User, folders
from staffetta.base.trust import TimeFloor
from staffetta.base.updates.answer import AnswerFile
from staffetta.control.appliance import Certificate, Job
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.kernel.errors import StaffettaError
from staffetta.releases import ReleaseTree

PROGRAMS: Final = ("base", "site")


@dataclass(frozen=True, slots=True)
class Owners:
    """Whom the programs run as, and who starts keeper; None is not known to whoever looks."""

    keeper: User | None = None
    base: User | None = None
    site: User | None = None


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
    wanted = (*folders(paths, whose.base, whose.site), *files)
    return tuple(_seen(place, whose) for place in wanted)


def _seen(place: Place, whose: Owners) -> PlaceSeen:
    owner = place.owner or whose.keeper
    wanted = None if owner is None else (owner.uid, owner.gid)
    return PlaceSeen(str(place.path), wanted, place.mode, _entry(place.path))


def _entry(path: Path) -> Entry | Unseen | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Unseen(f"{path} cannot be looked at: {error.strerror}.")
    return Entry(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


def strangers(paths: AppliancePaths, whose: Owners) -> tuple[StrangersSeen, ...] | Unseen:
    """Files that lie directly in a program's folders and belong to another user, as after a command run by root."""
    if whose.base is None or whose.site is None:
        return Unseen("Whether all files belong to their programs cannot be seen by this user.")
    looked = (
        (paths.base, whose.base),
        (paths.base / "journal", whose.base),
        (paths.base / "trust", whose.base),
        (paths.site, whose.site),
    )
    try:
        return tuple(StrangersSeen(str(folder), user.uid, (*_not_of(folder, user),)) for folder, user in looked)
    except OSError as error:
        return Unseen(f"{error.filename} cannot be looked into: {error.strerror}.")


def _not_of(folder: Path, user: User) -> Iterator[str]:
    try:
        entries = [*os.scandir(folder)]
    except FileNotFoundError:
        return
    for entry in sorted(entries, key=lambda one: one.name):
        try:
            if entry.stat(follow_symlinks=False).st_uid != user.uid:
                yield entry.name
        except FileNotFoundError:
            continue  # it went while we looked


def release(paths: AppliancePaths, program: str) -> ReleaseSeen | Unseen:
    """Compare every file of the current release with its manifest, and ask its Python."""
    tree = ReleaseTree(paths.releases(program))
    version: str | None = None
    try:
        current = tree.current()
        if current is None:
            return ReleaseSeen(program, None)
        version = str(current)
        return ReleaseSeen(program, version, files=len(tree.check(current).files))
    except PermissionError as error:
        return Unseen(f"The releases of {program} cannot be read by this user ({error.filename}).")
    except (StaffettaError, OSError) as error:
        return ReleaseSeen(program, version, str(error))


def room(paths: AppliancePaths) -> RoomSeen | Unseen:
    """Free room, and what the largest package on offer would take: itself, unpacked, and a copy of the database."""
    try:
        found = os.statvfs(paths.root)
    except OSError as error:
        return Unseen(f"The room in {paths.root} cannot be seen: {error.strerror}.")
    return RoomSeen(
        folder=str(paths.root),
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        files_free=found.f_favail if found.f_files else None,
        needed=_needed(paths),
    )


def _needed(paths: AppliancePaths) -> int | None:
    answer = paths.base / "updates.json"
    if not os.access(answer, os.R_OK):
        return None
    offered = AnswerFile(answer).read().infos
    sizes = [info.size + info.installed_size + _database_size(paths, info.kind.value) for info in offered]
    return max(sizes, default=None)


def _database_size(paths: AppliancePaths, program: str) -> int:
    try:
        return (paths.data(program) / f"{program}.sqlite3").stat().st_size
    except OSError:
        return 0


def time_floor(paths: AppliancePaths) -> datetime | Unseen | None:
    """The latest moment that somebody trusted has signed."""
    try:
        return TimeFloor(paths.base / "trust" / "time.json").read()
    except (StaffettaError, OSError) as error:
        return Unseen(str(error))


def certificates(
    paths: AppliancePaths, description: ApplianceDescription, now: datetime
) -> tuple[Certificate | CertificateTrouble, ...] | Unseen:
    """Both certificates with their warnings; they must name what their doors are asked by, the shared name too."""
    if not os.access(paths.certificates, os.R_OK | os.X_OK):
        return Unseen("The certificates cannot be read by this user.")
    service = CertificateService(paths, description, clock=lambda: now)
    return tuple(_certificate(service, name) for name in ("site", "appliance"))


def _certificate(service: CertificateService, name: str) -> Certificate | CertificateTrouble:
    try:
        return service.read(name)
    except CertificateRefused as error:
        return CertificateTrouble(name, error.message)


def jobs(paths: AppliancePaths) -> JobSeen | Unseen:
    """What the install journal says, read beside whoever writes it."""
    folder = paths.base / "journal"
    if not os.access(folder, os.R_OK | os.X_OK):
        return Unseen("The install journal cannot be read by this user.")
    journal = InstallJournal(folder)
    try:
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
