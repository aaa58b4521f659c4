"""How Jump Clients follow a site to its client's version: which client updates now, which waits, which stays. Pure.

- A client that is behind updates when it holds a slot. There are never more slots in use than the limit.
- A slot is given back when its client is seen with the version, goes back, waits for its sessions, or after a time.
- While the rollout is held (a pair of appliances is in the middle of an upgrade), nobody updates.
- Only the primary of a pair decides: each appliance counts its own slots, and the backup may run another release.
- Who is no enrolled Jump Client (a console, an installer) needs no slot: the limit is for Jump Clients.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from packaging.version import InvalidVersion, Version

SLOT_TIME: Final = timedelta(minutes=15)
"""A client that has not arrived this long after it was told to update no longer counts, so that those who die with a
slot block nobody for long. One that is very slow to fetch and unpack may still be at it then, beside its successor."""
CURRENT_RETRY: Final = 3600
HELD_RETRY: Final = 60
FAILED_RETRY: Final = 3600
SHORTEST_RETRY: Final = 5
LONGEST_RETRY: Final = 900
UPDATE_SECONDS: Final = 5
"""What one update is reckoned with when a waiting client is told how soon to ask again."""


class Verdict(StrEnum):
    """What a client is told, and why."""

    CURRENT = "current"
    FAILED = "failed"  # it went back from this version and does not want it now
    HELD = "held"
    BACKUP = "backup"  # who was asked is the backup of a pair
    FULL = "full"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Slot:
    """A client that may update now: which, to what, since when."""

    client: str
    version: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an answer depends on.

    ``wanted`` is the version of the client that this site's release brings, None when it brings none; ``failed`` the
    version that the client says it went back from; ``needs_slot`` whether it is an enrolled Jump Client; ``slots``
    those in the database, expired ones among them; ``behind`` how many clients are online and not of that version.
    """

    wanted: str | None
    client: str
    version: str
    failed: str
    needs_slot: bool
    slots: tuple[Slot, ...]
    limit: int
    held: bool
    behind: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is told; ``take`` says that a slot must be stored for it before it is told."""

    verdict: Verdict
    version: str
    retry_seconds: int
    take: bool = False


def answer(facts: Facts) -> Answer:
    """Return what a client that asks is told."""
    if facts.wanted is None or not behind(facts.version, facts.wanted):
        return Answer(Verdict.CURRENT, facts.version, CURRENT_RETRY)
    if facts.failed == facts.wanted:
        return Answer(Verdict.FAILED, facts.version, FAILED_RETRY)
    if facts.held:
        return Answer(Verdict.HELD, facts.version, HELD_RETRY)
    if not facts.needs_slot:
        return Answer(Verdict.UPDATE, facts.wanted, CURRENT_RETRY)
    used = in_use(facts.slots, facts.now)
    own = next((slot for slot in used if slot.client == facts.client), None)
    if own is not None and own.version == facts.wanted:
        return Answer(Verdict.UPDATE, facts.wanted, CURRENT_RETRY)
    others = sum(slot.client != facts.client for slot in used)
    if others >= facts.limit:
        return Answer(Verdict.FULL, facts.version, retry_seconds(facts.behind, facts.limit))
    return Answer(Verdict.UPDATE, facts.wanted, CURRENT_RETRY, take=True)


def of_backup(version: str) -> Answer:
    """Return what the backup of a pair tells a client of that version: to stay, and to ask the primary soon."""
    return Answer(Verdict.BACKUP, version, HELD_RETRY)


def in_use(slots: Iterable[Slot], now: datetime) -> tuple[Slot, ...]:
    """Return the slots that count: those given out too long ago, or by a clock that was far ahead, do not."""
    return tuple(slot for slot in slots if abs(now - slot.since) < SLOT_TIME)


def retry_seconds(behind: int, limit: int) -> int:
    """Return how soon a waiting client asks again: about when half of those before it have gone."""
    return min(max(UPDATE_SECONDS * behind // max(limit, 1), SHORTEST_RETRY), LONGEST_RETRY)


def behind(version: str, wanted: str) -> bool:
    """Whether a client of this version is behind another. A version that cannot be read counts as behind."""
    try:
        return Version(version) < Version(wanted)
    except InvalidVersion:
        return version != wanted
