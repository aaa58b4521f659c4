"""What pages, commands and the worker see of the pair: frozen values with times, numbers and sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from staffetta.kernel.clock import format_time, parse_time
from staffetta.site.data.roles import Role
from staffetta.wire.pair import Endpoint

QUIET: Final = timedelta(seconds=10)
"""What is missing for so short a time goes unsaid: rounds of data-sync begin every second, and the other appliance is
asked as often; when it answered is written down every five."""


@dataclass(frozen=True, slots=True)
class RelationshipPicture:
    """The relationship that holds: where each side reaches the other, and since when."""

    peer_origin: str
    peer: Endpoint
    own: Endpoint
    since: datetime


@dataclass(frozen=True, slots=True)
class SyncPicture:
    """How far data-sync is. ``lag`` is how long ago the last whole round ended; None before the first."""

    asked_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    lag: timedelta | None
    records_behind: int
    blobs_behind: int
    bytes_behind: int
    error: str

    @property
    def trouble(self) -> str:
        """What hindered the last round, if none has been whole for a while: as roles change, one or two find nobody."""
        return self.error if self.lag is None or self.lag >= QUIET else ""

    @property
    def under_way(self) -> bool:
        """Whether a round has begun and not ended."""
        return self.started_at is not None and (self.finished_at is None or self.finished_at < self.started_at)


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """The peer as it was last heard; ``seen_at`` is None before the first time, ``suspended`` if it has not said it."""

    seen_at: datetime | None
    role: Role | None
    term: int
    site_version: str
    base_version: str
    sessions_live: int | None
    sync: SyncPicture | None
    suspended: bool | None


@dataclass(frozen=True, slots=True)
class Prefill:
    """What the two fields of the page hold at first: the last relationship's details, or what is known."""

    backup: Endpoint | None
    reverse: Endpoint | None


@dataclass(frozen=True, slots=True)
class AlarmPicture:
    """Something that a person should know: a stable word, and a sentence that says what to do."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PairPicture:
    """Everything about the pair, as this appliance knows it without asking anybody.

    ``sync`` is that of the backup, wherever it is looked at: on the primary as the backup last told it. ``suspended``:
    a pair job has switched off what the role does by itself. ``base_version`` is empty when it cannot be read.
    ``two_certificates``: each appliance shows another one for the site, and this one's is self-signed.
    """

    role: Role
    term: int
    origin: str
    site_version: str
    base_version: str
    shared_host: str
    key_set: bool
    relationship: RelationshipPicture | None
    peer: PeerSeen | None
    sync: SyncPicture
    alarms: tuple[AlarmPicture, ...]
    prefill: Prefill
    taking_over: bool
    suspended: bool
    two_certificates: bool = False


def to_json(value: Any) -> Any:
    """A picture as JSON values: times as text, an endpoint as host:port, a duration in seconds."""
    match value:
        case datetime():
            return format_time(value)
        case timedelta():
            return value.total_seconds()
        case Endpoint():
            return str(value)
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case tuple() | list():
            return [to_json(item) for item in value]
        case _ if hasattr(value, "__dataclass_fields__"):
            return {name: to_json(getattr(value, name)) for name in value.__dataclass_fields__}
        case _:
            return value


def sync_from_json(raw: Mapping[str, Any], now: datetime) -> SyncPicture:
    """The sync of a peer's picture; what is missing or of another kind counts as unknown."""

    def time(name: str) -> datetime | None:
        value = raw.get(name)
        return parse_time(value) if isinstance(value, str) else None

    def count(name: str) -> int:
        value = raw.get(name)
        return value if isinstance(value, int) else 0

    finished = time("finished_at")
    return SyncPicture(
        asked_at=time("asked_at"),
        started_at=time("started_at"),
        finished_at=finished,
        lag=None if finished is None else max(now - finished, timedelta(0)),
        records_behind=count("records_behind"),
        blobs_behind=count("blobs_behind"),
        bytes_behind=count("bytes_behind"),
        error=str(raw.get("error") or ""),
    )
