"""What the gateway tells base in numbers: its own, and those that the database counts, which are kept for a moment.

The counters begin anew with each gateway process.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from staffetta.control.measures import (
    PAUSE_BUCKETS_MS,
    AnswerMeasures,
    FleetMeasures,
    PairMeasures,
    PauseMeasures,
)
from staffetta.kernel.clock import utc_now
from staffetta.site.data.database import in_database
from staffetta.site.failover import job_store
from staffetta.site.failover import service as failover
from staffetta.site.failover.pictures import PairPicture
from staffetta.site.fleet import presence, updates
from staffetta.site.management import audit_log

KEPT_SECONDS: Final = 5.0
"""What the database counts is asked for at most this often, however many ask."""


class Pauses:
    """The histogram of how long ends were away before they attached again (see ``support.pauses``)."""

    def __init__(self) -> None:
        self._counts = [0] * (len(PAUSE_BUCKETS_MS) + 1)
        self._sum = 0
        self._resumed = 0

    def note(self, milliseconds: int | None) -> None:
        """An end has attached again; None where the pause is not known."""
        self._resumed += 1
        if milliseconds is not None:
            self._counts[bisect_left(PAUSE_BUCKETS_MS, milliseconds)] += 1
            self._sum += milliseconds

    def measures(self) -> PauseMeasures:
        """The counts until now."""
        return PauseMeasures(tuple(self._counts), self._sum, self._resumed)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the database says."""

    fleet: FleetMeasures
    reps_online: int
    backup_at: datetime | None
    pair: PairMeasures | None


def count(wanted: str | None) -> Counted:
    """Count in the database; ``wanted`` is the version of the clients that the site brings."""
    now = utc_now()
    held = failover.picture()
    fleet = presence.fleet_now()
    slots = len(updates.slots_in_use())
    return Counted(
        FleetMeasures(fleet.clients, fleet.clients_online, updates.count_behind(wanted), slots),
        fleet.reps_online,
        audit_log.last("backup.created"),
        None if held.relationship is None else _pair(held, now),
    )


def _pair(picture: PairPicture, now: datetime) -> PairMeasures:
    assert picture.relationship is not None
    heard = None if picture.peer is None else picture.peer.seen_at
    job = job_store.under_way()
    return PairMeasures(
        peer=str(picture.relationship.peer),
        peer_heard_seconds=None if heard is None else max(0.0, (now - heard).total_seconds()),
        sync_age_seconds=None if picture.sync.lag is None else max(0.0, picture.sync.lag.total_seconds()),
        records_behind=picture.sync.records_behind,
        files_behind=picture.sync.blobs_behind,
        bytes_behind=picture.sync.bytes_behind,
        sync_error=picture.sync.trouble,
        synced_at=picture.sync.finished_at,
        alarm_codes=tuple(alarm.code for alarm in picture.alarms),
        alarms=tuple(alarm.sentence for alarm in picture.alarms),
        job=None if job is None else job.id,
        job_state=None if job is None else str(job.state),
        job_sentence="" if job is None else job.sentence,
    )


class Counting:
    """The database's counts, asked for once at a time and kept for some seconds."""

    def __init__(self, wanted: str | None) -> None:
        self._wanted = wanted
        self._asking = asyncio.Lock()
        self._kept: tuple[float, Counted] | None = None

    async def read(self) -> Counted:
        """The counts, at most some seconds old."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._kept is None or now - self._kept[0] > KEPT_SECONDS:
                self._kept = now, await in_database(count, self._wanted)
            return self._kept[1]


def answer_measures(counted: Mapping[int, int]) -> tuple[AnswerMeasures, ...]:
    """A door's answers by the class of their status, as they are told."""
    return tuple(AnswerMeasures(number, counted[number]) for number in sorted(counted))
