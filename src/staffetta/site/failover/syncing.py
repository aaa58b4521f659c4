"""Data-sync between these two: the worker's round of every second, asking for one, and waiting for one."""

import time
from datetime import datetime
from typing import Final

from django.db import transaction

from staffetta.kernel.clock import parse_time, utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.data import audit
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import pictures, roles
from staffetta.site.failover.errors import FailoverError
from staffetta.site.failover.link import KeptPeer, peer_of
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.peer import HttpsPeer
from staffetta.site.failover.pictures import SyncPicture
from staffetta.site.failover.reaching import Limits
from staffetta.site.failover.sync.service import pull

_log = get_logger(__name__)

_LIMITS: Final = Limits(connect=2.0, silence=10.0)
_POLL_SECONDS: Final = 0.25


class Rounds:
    """Keeps the connection, and what went wrong last, between two rounds."""

    def __init__(self) -> None:
        self._kept = KeptPeer(_LIMITS)
        self._problem = ""

    def round(self, now: datetime) -> None:
        """One round with the peer, if there is one; the row of data-sync says how it went."""
        relationship = roles.held()
        if relationship is None:
            self._kept.close()
            return
        try:
            pull(self._kept.of(relationship))
            self._problem = ""
        except StaffettaError as error:
            if error.message != self._problem:
                _log.info("data-sync: %s", error.message)
            self._problem = error.message


ROUNDS: Final = Rounds()
"""The worker's."""


def sync_round(now: datetime) -> None:
    """The worker's job of every second."""
    ROUNDS.round(now)


def sync_now(actor: str) -> datetime:
    """Have the backup begin a round at once; return when it was asked, by the backup's clock."""
    relationship = roles.required()
    if instance.role() is Role.BACKUP:
        return note_sync_asked(actor)
    with peer_of(relationship) as other:
        asked = other.post("sync", {}).get("asked_at")
    audit.note(actor, "failover.sync-asked")
    return parse_time(asked) if isinstance(asked, str) else utc_now()


def note_sync_asked(actor: str) -> datetime:
    """On the backup: ask the own worker for a round; return when."""
    now = utc_now()
    with transaction.atomic():
        SyncState.objects.update_or_create(only=True, defaults={"asked_at": now})
        audit.note(actor, "failover.sync-asked")
    return now


def wait_for_sync(after: datetime, seconds: float) -> bool:
    """Wait for a whole round of the backup that began after a time; say whether there was one within the seconds."""
    relationship = roles.required()
    deadline = time.monotonic() + seconds
    with peer_of(relationship) as other:
        while True:
            state = own_sync() if instance.role() is Role.BACKUP else _sync_of(other)
            if state is not None and _whole_since(state, after):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)


def own_sync() -> SyncPicture:
    """How far data-sync is on this appliance."""
    row = SyncState.objects.filter(only=True).first() or SyncState()
    finished = row.finished_at
    return SyncPicture(
        asked_at=row.asked_at,
        started_at=row.started_at,
        finished_at=finished,
        lag=None if finished is None else utc_now() - finished,
        records_behind=row.records_behind,
        blobs_behind=row.blobs_behind,
        bytes_behind=row.bytes_behind,
        error=row.error,
    )


def _sync_of(other: HttpsPeer) -> SyncPicture | None:
    try:
        said = other.get("picture").get("sync")
    except FailoverError:
        return None
    return pictures.sync_from_json(said, utc_now()) if isinstance(said, dict) else None


def _whole_since(state: SyncPicture, after: datetime) -> bool:
    started, finished = state.started_at, state.finished_at
    return started is not None and finished is not None and finished >= started >= after
