"""Pure: findings on what lies on the disk: folders, releases, room, certificates, databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from shlex import quote
from typing import Final

from staffetta.base.doctor.facts import (
    CertificateTrouble,
    DatabaseSeen,
    DatabaseState,
    Entry,
    PlaceSeen,
    ReleaseSeen,
    RoomSeen,
    StrangersSeen,
    Unseen,
)
from staffetta.base.doctor.findings import Finding, Level, some
from staffetta.control.appliance import Certificate
from staffetta.kernel.sizes import spoken_size

SPARE_BYTES: Final = 64 << 20
"""With less room than this, programs begin to fail; `releases.disk` keeps a quarter of it free in every install."""

LITTLE_ROOM: Final = 0.10
LARGE_LOG_BYTES: Final = 256 << 20
_IMPORT: Final = "/appliance > Security > Certificates, or `staffetta appliance certificate install {}`."


def folders(places: tuple[PlaceSeen, ...]) -> Iterator[Finding]:
    """Owners and modes, as they are to be."""
    bad = [finding for place in places if (finding := _place(place)) is not None]
    yield from bad
    unseen = [place.path for place in places if isinstance(place.found, Unseen)]
    if unseen:
        yield Finding("folders", Level.UNSEEN, f"{some(unseen)} cannot be looked into.", "Run this as root.")
    elif not bad:
        yield Finding("folders", Level.FINE, f"{len(places)} folders and files with the right owners and modes.")


def _place(place: PlaceSeen) -> Finding | None:
    found = place.found
    if isinstance(found, Unseen):
        return None
    if found is None:
        return Finding(
            "folders",
            Level.ERROR,
            f"{place.path} is missing.",
            "Restore the appliance's folder from a copy of the machine, or lay out a new appliance and restore a "
            "backup of the site (docs/backup.md).",
        )
    if found.is_link:
        return Finding(
            "folders",
            Level.ERROR,
            f"{place.path} is a link, so that what is done there is done elsewhere.",
            "See who made it and where it leads (`ls -l`), and change nothing through it. Then put the folder or file "
            "itself in its place.",
        )
    wrong, mend = _wrong(place, found)
    return Finding("folders", Level.ERROR, f"{place.path} {wrong}.", f"Run `{mend}`.") if wrong else None


def _wrong(place: PlaceSeen, found: Entry) -> tuple[str, str]:
    said, mend = [], []
    if place.wanted_owner is not None and (found.uid, found.gid) != place.wanted_owner:
        uid, gid = place.wanted_owner
        said.append(f"belongs to {found.uid}:{found.gid} and not to {uid}:{gid}")
        mend.append(f"chown -h {uid}:{gid} {quote(place.path)}")
    if found.mode != place.wanted_mode:
        more = found.mode & ~place.wanted_mode
        others = " (others may write there)" if more & 0o022 else " (others may read there)" if more & 0o055 else ""
        said.append(f"has the mode {found.mode:04o} and not {place.wanted_mode:04o}{others}")
        # With the owner's rights: chmod follows a link, and a program may put one there before the command is given.
        uid, gid = place.wanted_owner or (0, 0)
        become = f"setpriv --reuid {uid} --regid {gid} --clear-groups " if uid else ""
        mend.append(f"{become}chmod {place.wanted_mode:04o} {quote(place.path)}")
    return " and ".join(said), " && ".join(mend)


def strangers(seen: tuple[StrangersSeen | Unseen, ...]) -> Iterator[Finding]:
    """What the programs wrote belongs to them, and is what it must be."""
    for one in seen:
        if isinstance(one, Unseen):
            yield Finding("files", Level.UNSEEN, one.why, "Run this as root.")
            continue
        for odd in one.odd:
            yield Finding(
                "files",
                Level.ERROR,
                odd,
                f"No program of the appliance makes such a thing. Find out who did, and move it out of {one.folder}.",
            )
        if one.names:
            yield Finding(
                "files",
                Level.ERROR,
                f"In {one.folder}, {some(one.names)} belong to another user, so that the program cannot write there.",
                f"Run `chown -Rh {one.uid} {quote(one.folder)}`, and other commands there only as they are documented: "
                "those leave nothing behind that belongs to root.",
            )
    if not any(isinstance(one, Unseen) or one.names or one.odd for one in seen):
        yield Finding("files", Level.FINE, "All that base and the site wrote belongs to them.")


def release(seen: ReleaseSeen | Unseen) -> Iterator[Finding]:
    """A release is whole, and can run here."""
    if isinstance(seen, Unseen):
        yield Finding("release", Level.UNSEEN, seen.why, "Run this as root.")
        return
    check = f"release {seen.program}"
    if seen.trouble is not None:
        todo = (
            "Install a newer package of it (/appliance > Updates, or `staffetta appliance install-file`). If there is "
            "none, put this folder back from a copy of the machine, or of another appliance with this release."
        )
        yield Finding(check, Level.ERROR, seen.trouble, todo)
    elif seen.version is None:
        level = Level.ERROR if seen.program == "base" else Level.WARNING
        todo = (
            "Lay the appliance out again; its `current` release is gone."
            if seen.program == "base"
            else "Install the site: /appliance > Updates, or `staffetta appliance updates check`."
        )
        yield Finding(check, level, f"No release of {seen.program} is installed.", todo)
    else:
        python = ", and its Python is the one it needs" if seen.asked else "; its Python was not asked, as root"
        yield Finding(check, Level.FINE, f"{seen.version} is whole ({seen.files} files){python}.")


def room(seen: RoomSeen | Unseen) -> Iterator[Finding]:
    """There is room to go on, and for what is on offer."""
    if isinstance(seen, Unseen):
        yield Finding("disk", Level.UNSEEN, seen.why)
        return
    free = f"{spoken_size(seen.free)} of {spoken_size(seen.total)} are free in {seen.folder}"
    if seen.free < SPARE_BYTES or seen.files_free == 0:
        what = "no more files fit there" if seen.files_free == 0 else "which is too little for the programs to go on"
        yield Finding("disk", Level.ERROR, f"{free}, {what}.", "Make room, or give the appliance a larger disk.")
    elif seen.needed is not None and seen.free < seen.needed + SPARE_BYTES:
        todo = "Make room before you install it; an install that does not fit is refused and changes nothing."
        yield Finding(
            "disk",
            Level.WARNING,
            f"{free}; an update that is on offer needs {spoken_size(seen.needed + SPARE_BYTES)}.",
            todo,
        )
    elif seen.total and seen.free < LITTLE_ROOM * seen.total:
        yield Finding("disk", Level.WARNING, f"{free}.", "Make room, or give the appliance a larger disk.")
    else:
        more = "" if seen.needed is None else f"; an update that is on offer needs {spoken_size(seen.needed)}"
        yield Finding("disk", Level.FINE, f"{free}{more}.")


def certificates(seen: tuple[Certificate | CertificateTrouble, ...] | Unseen, now: datetime) -> Iterator[Finding]:
    """Valid now, and for every name by which the doors are asked."""
    if isinstance(seen, Unseen):
        yield Finding("certificates", Level.UNSEEN, seen.why, "Run this as root.")
        return
    for one in seen:
        check = f"certificate {one.name}"
        if isinstance(one, CertificateTrouble):
            yield Finding(check, Level.ERROR, one.said, _IMPORT.format(one.name))
            continue
        over = not one.not_before <= now < one.not_after
        names = ", ".join(one.sans)
        if one.warnings:
            level = Level.ERROR if over else Level.WARNING
            yield Finding(check, level, f"For {names}. {' '.join(one.warnings)}", _IMPORT.format(one.name))
        else:
            yield Finding(check, Level.FINE, f"For {names}, valid until {one.not_after:%Y-%m-%d}.")


def database(seen: DatabaseSeen | Unseen) -> Iterator[Finding]:
    """Whole, as far as it could be checked."""
    if isinstance(seen, Unseen):
        yield Finding("database", Level.UNSEEN, seen.why, "Run this as root.")
        return
    check = f"database {seen.program}"
    if seen.state is DatabaseState.DAMAGED:
        yield Finding(
            check,
            Level.ERROR,
            f"{seen.path} is damaged: {seen.said}",
            "Copy the file away before anything else. Restore the newest copy in the folder `snapshots` beside it, or "
            "a backup of the site (docs/backup.md), with keeper stopped.",
        )
    elif seen.log > LARGE_LOG_BYTES:
        todo = "Something reads for very long; end backups and commands that hang, else restart keeper."
        yield Finding(check, Level.WARNING, f"Its write-ahead log has grown to {spoken_size(seen.log)}.", todo)
    elif seen.state is DatabaseState.ABSENT:
        return
    elif seen.state is DatabaseState.WHOLE:
        yield Finding(check, Level.FINE, f"Whole ({spoken_size(seen.size)}, write-ahead log {spoken_size(seen.log)}).")
    else:
        yield Finding(check, Level.UNSEEN, seen.said)
