"""`manifest.json`, the first member of a backup: what it is of, what is in it, what was left out and why."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import InvalidInput
from staffetta.site.backup.errors import BackupDamaged, NotABackup, NotRestorable

KIND: Final = "staffetta site backup"
FORMAT: Final = 1
MOST_BYTES: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Content:
    """A member whose hash is known from the beginning: lines (0 for the database), bytes, SHA-256."""

    count: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LeftOutFile:
    """A file of the file store that is not in the backup."""

    id: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Holds:
    """What a backup holds, in things that an administrator knows. ``recordings`` counts sessions that have one."""

    users: int
    jump_clients: int
    files: int
    sessions: int
    recordings: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. ``records`` and ``database`` are None when they were left out, ``holds`` in a
    backup of a release that did not say it.

    ``recordings_left_out`` counts segments of recordings (each at most ten seconds or a megabyte), ``left_out`` says
    for people what else is missing, a sentence each.
    """

    site_version: str
    origin: str
    role_term: int
    made_at: datetime
    full: bool
    secrets_in_the_clear: bool
    documents: Content
    records: Content | None
    database: Content | None
    blobs: int
    blob_bytes: int
    files_left_out: tuple[LeftOutFile, ...]
    recordings_left_out: int
    left_out: tuple[str, ...]
    holds: Holds | None = None

    @property
    def content_bytes(self) -> int:
        """The bytes of all members but the manifest."""
        known = (self.documents, self.records, self.database)
        return self.blob_bytes + sum(one.size for one in known if one is not None)


def write(manifest: Manifest) -> bytes:
    """Return the member's bytes."""
    body: dict[str, Any] = {"kind": KIND, "format": FORMAT, **asdict(manifest)}
    body["made_at"] = format_time(manifest.made_at)
    return json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n"


def read(raw: bytes) -> Manifest:
    """Read the member. Raises ``NotABackup``, ``NotRestorable`` for a format of the future, ``BackupDamaged``.

    What a newer release added to this format is passed over.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise BackupDamaged("The backup is damaged: its manifest cannot be read.") from None
    if not isinstance(body, dict) or body.get("kind") != KIND:
        raise NotABackup("The file is not a backup of a site.")
    if body.get("format") != FORMAT:
        raise NotRestorable(
            f"The backup has format {str(body.get('format'))[:20]}, this release reads format {FORMAT}: "
            "update the site first."
        )
    try:
        return _manifest(body)
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise BackupDamaged(f"The backup is damaged: its manifest is incomplete ({error}).") from None


def _manifest(body: dict[str, Any]) -> Manifest:
    documents = _content(body["documents"])
    if documents is None:
        raise ValueError("no documents")
    return Manifest(
        site_version=_text(body["site_version"]),
        origin=_text(body["origin"]),
        role_term=_number(body["role_term"]),
        made_at=parse_time(_text(body["made_at"])),
        full=body["full"] is True,
        secrets_in_the_clear=body["secrets_in_the_clear"] is True,
        documents=documents,
        records=_content(body["records"]),
        database=_content(body["database"]),
        blobs=_number(body["blobs"]),
        blob_bytes=_number(body["blob_bytes"]),
        files_left_out=tuple(
            LeftOutFile(_text(one["id"]), _text(one["name"]), _number(one["size"])) for one in body["files_left_out"]
        ),
        recordings_left_out=_number(body["recordings_left_out"]),
        left_out=tuple(_text(one) for one in body["left_out"]),
        holds=_holds(body.get("holds")),
    )


def _holds(body: Any) -> Holds | None:
    if body is None:
        return None
    return Holds(**{one.name: _number(body[one.name]) for one in fields(Holds)})


def _content(body: Any) -> Content | None:
    if body is None:
        return None
    return Content(_number(body["count"]), _number(body["size"]), _text(body["sha256"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is no text")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{str(value)[:40]!r} is no number")
    return value
