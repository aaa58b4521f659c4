"""The pair as its page draws it: two appliances, the data-sync between them, and where traffic belongs; pure.

- The two stand in the order of their addresses: the picture is the same on both pages, and stays when the roles change.
- What the other appliance has not said is not known, and never guessed; what it said before it fell silent is shown so.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from staffetta.site.data.roles import Role
from staffetta.site.failover.pictures import QUIET, PairPicture, PeerSeen, RelationshipPicture, SyncPicture
from staffetta.site.failover.rules import SILENT, Alarm


class Link(StrEnum):
    """How data-sync is."""

    WHOLE = "whole"  # nothing is behind
    BEHIND = "behind"
    FIRST = "first"  # the first round has not ended
    TROUBLE = "trouble"  # its last round failed, and none has been whole for a while
    SILENT = "silent"  # the other appliance does not answer: it goes no further


@dataclass(frozen=True, slots=True)
class Appliance:
    """One of the two. ``role``, ``term`` and ``suspended`` are None, versions empty, while they are not known.

    ``answers`` is None of this appliance itself; ``seen_at`` is when the other was heard last, None: never; ``quiet``
    how long ago that is once it is too long to go unsaid.
    """

    host: str
    own: bool
    role: Role | None
    term: int | None
    site_version: str
    base_version: str
    suspended: bool | None
    taking_over: bool
    answers: bool | None
    seen_at: datetime | None
    traffic: bool
    quiet: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The picture. ``to_right`` is the way that data goes, None when neither, or both with one term, are primary;
    ``primary`` is that one. ``told`` says that ``sync`` is what the other appliance told last.
    """

    left: Appliance
    right: Appliance
    link: Link
    sync: SyncPicture
    to_right: bool | None
    primary: Appliance | None
    told: bool


def draw(pair: PairPicture, now: datetime) -> Drawn | None:
    """Return the picture of a pair; None without a relationship."""
    if pair.relationship is None or pair.peer is None:
        return None
    answers = pair.peer.seen_at is not None and now - pair.peer.seen_at < SILENT
    young = now - pair.relationship.since < SILENT
    own_rank, other_rank = _rank(pair.role, pair.term), _rank(pair.peer.role, pair.peer.term)
    own_leads, other_leads = own_rank > other_rank, other_rank > own_rank
    own = Appliance(
        host=pair.relationship.own.authority,
        own=True,
        role=pair.role,
        term=pair.term,
        site_version=pair.site_version,
        base_version=pair.base_version,
        suspended=pair.suspended,
        taking_over=pair.taking_over,
        answers=None,
        seen_at=None,
        traffic=own_leads,
    )
    seen = pair.peer
    if own_leads and answers and seen.role is Role.PRIMARY and not _has_alarm(pair, Alarm.OLD_PRIMARY):
        # From before this appliance became primary. If the other still is, the next look raises an alarm.
        seen = replace(seen, role=None, term=0)
    other = _other(pair.relationship, seen, now, answers=answers, traffic=other_leads)
    left, right = sorted((own, other), key=lambda one: one.host)
    primary = next((one for one in (own, other) if one.traffic), None)
    return Drawn(
        left=left,
        right=right,
        link=Link.FIRST if young and pair.peer.seen_at is None else _link(pair.sync, answers),
        sync=pair.sync,
        to_right=None if primary is None else primary is left,
        primary=primary,
        told=pair.role is Role.PRIMARY,
    )


def hosts(pair: PairPicture) -> dict[str, str]:
    """Return the addresses of the two by their origins, as far as there is a relationship."""
    held = pair.relationship
    return {} if held is None else {pair.origin: held.own.authority, held.peer_origin: held.peer.authority}


def _has_alarm(pair: PairPicture, alarm: Alarm) -> bool:
    return any(one.code == alarm for one in pair.alarms)


def _other(held: RelationshipPicture, seen: PeerSeen, now: datetime, *, answers: bool, traffic: bool) -> Appliance:
    quiet = None if seen.seen_at is None else now - seen.seen_at
    return Appliance(
        host=held.peer.authority,
        own=False,
        role=seen.role,
        term=seen.term or None,
        site_version=seen.site_version,
        base_version=seen.base_version,
        suspended=seen.suspended,
        taking_over=False,
        answers=answers,
        seen_at=seen.seen_at,
        traffic=traffic,
        quiet=quiet if quiet is not None and quiet >= QUIET else None,
    )


def _link(sync: SyncPicture, answers: bool) -> Link:
    if not answers:
        return Link.SILENT
    if sync.trouble:
        return Link.TROUBLE
    if sync.finished_at is None:
        return Link.FIRST
    return Link.BEHIND if sync.records_behind or sync.blobs_behind else Link.WHOLE


def _rank(role: Role | None, term: int) -> int:
    """Of two primaries the one of the higher term is it; whoever is not primary is none."""
    return term if role is Role.PRIMARY else -1
