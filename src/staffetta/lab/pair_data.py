"""Records and recordings of two appliances compared from outside: read from their files, no program is asked.

A record is known by its key (origin, incarnation, sequence); the same key with other content on the other side counts
as different. *Doubled* is a key that is there twice, or one event under two keys: same origin, kind, time and body. A
segment of a recording is there if a record names it and the file of that name has that SHA-256; one that is named and
is on neither side is *lost*, as is a record seen before.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SEGMENT: Final = "session.segment"
Key = tuple[str, str, int]
"""Origin, incarnation and sequence of a record."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as its row has it."""

    origin: str
    incarnation: str
    sequence: int
    kind: str
    at: str
    body: str

    @property
    def key(self) -> Key:
        """What makes it this record and no other."""
        return self.origin, self.incarnation, self.sequence

    @property
    def event(self) -> tuple[str, str, str, str]:
        """What happened, whatever its key."""
        return self.origin, self.kind, self.at, self.body


@dataclass(frozen=True, slots=True)
class SiteData:
    """What one appliance holds: its records, and its segments as (session, SHA-256), with repetitions.

    ``named`` are the segments that its records name, whether their files are there or not.
    """

    records: tuple[StoredRecord, ...]
    segments: tuple[tuple[str, str], ...]
    named: frozenset[tuple[str, str]] = frozenset()

    @property
    def keys(self) -> frozenset[Key]:
        """The keys of its records."""
        return frozenset(record.key for record in self.records)


def read(folder: Path) -> SiteData:
    """Read what the appliance in ``folder`` holds; it may run or be stopped."""
    site = folder / "site"
    with contextlib.closing(_open(site, "ro")) as database:
        rows = database.execute("SELECT origin, incarnation, sequence, kind, at, body FROM data_record").fetchall()
    records = tuple(
        StoredRecord(origin, incarnation, sequence, kind, at, _canonical(body))
        for origin, incarnation, sequence, kind, at, body in rows
    )
    bodies = (json.loads(record.body) for record in records if record.kind == SEGMENT)
    named = [(one["session"], one["sha256"]) for one in bodies]
    whole = {path.name for path in (site / "blobs").glob("??/*") if _sha256(path) == path.name}
    return SiteData(records, tuple(one for one in named if one[1] in whole), frozenset(named))


def keys(folder: Path) -> frozenset[Key]:
    """Return the keys of the records that the appliance in ``folder`` holds at this moment."""
    with contextlib.closing(_open(folder / "site", "ro")) as database:
        return frozenset(database.execute("SELECT origin, incarnation, sequence FROM data_record"))


def compare(a: SiteData, b: SiteData, earlier: frozenset[Key] = frozenset()) -> dict[str, Any]:
    """Return ``sync`` of the report. ``earlier`` are keys seen on either side before: one on neither now is lost."""
    doubled = max(_again(record.key for record in one.records) for one in (a, b))
    doubled += max(_again(record.event for record in set(one.records)) for one in (a, b))
    return {
        "records": {
            **_sides(set(a.records), set(b.records)),
            "doubled": doubled,
            "lost": len(earlier - a.keys - b.keys),
        },
        "recordings": {
            **_sides(set(a.segments), set(b.segments)),
            "doubled": max(_again(a.segments), _again(b.segments)),
            "lost": len((a.named | b.named) - set(a.segments) - set(b.segments)),
        },
    }


def lose_a_record(folder: Path) -> None:
    """Delete the newest record of a stopped appliance, behind every program's back."""
    with contextlib.closing(_open(folder / "site", "rw")) as database, database:
        _unlock(database)
        database.execute("DELETE FROM data_record WHERE id = (SELECT max(id) FROM data_record)")


def copy_a_record(folder: Path) -> None:
    """Copy the newest record of a stopped appliance under a key of its own, as a merge that goes wrong would."""
    with contextlib.closing(_open(folder / "site", "rw")) as database, database:
        _unlock(database)
        database.execute(
            "INSERT INTO data_record (origin, incarnation, sequence, kind, at, body) "
            "SELECT origin, 'copied', sequence, kind, at, body FROM data_record "
            "WHERE id = (SELECT max(id) FROM data_record)"
        )


def _open(site: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{site}/site.sqlite3?mode={mode}", uri=True, timeout=30)


def _unlock(database: sqlite3.Connection) -> None:
    """Take away what keeps records final."""
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'data_record'")
    for (name,) in found.fetchall():
        database.execute(f'DROP TRIGGER "{name}"')


def _sides(a: set[Any], b: set[Any]) -> dict[str, int]:
    return {"a": len(a), "b": len(b), "only_a": len(a - b), "only_b": len(b - a)}


def _again(things: Any) -> int:
    return sum(count - 1 for count in Counter(things).values())


def _canonical(body: str) -> str:
    return json.dumps(json.loads(body), sort_keys=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
