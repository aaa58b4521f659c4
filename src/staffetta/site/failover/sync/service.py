"""Data-sync as a whole: round after round, by the worker of each appliance; its progress is a row that pages show.

The backup pulls configuration and live state from the primary. Records and blobs go both ways: each side pulls.
"""

import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.site.data import identity
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.peer import Peer
from staffetta.site.failover.sync import blobs, configuration, records

BLOB_SECONDS: Final = 5.0
"""How long one round goes on fetching blobs, so that records and configuration do not wait for a large one."""


LOCK: Final = "data-sync.lock"


class _Pace:
    """Comparing all documents costs time in proportion to their number: at most a tenth of it is spent on that."""

    def __init__(self) -> None:
        self._began = self._next = 0.0

    def due(self) -> bool:
        """Whether the pause after the last comparison is over."""
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self._next = now + 9 * (now - self._began)


_PACE: Final = _Pace()


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one round brought, and what is still behind."""

    documents: int
    records: int
    blobs: int
    blobs_behind: int
    bytes_behind: int

    @property
    def complete(self) -> bool:
        """Whether nothing is behind."""
        return self.blobs_behind == 0


def pull(peer: Peer, *, final: bool = False) -> SyncResult:
    """One round; one at a time on this appliance, whoever asks. ``final``: it does not end before every blob is here.

    Raises what hindered it (``PeerUnreachable``, ``PeerRefused``, ``WrongRole``, a full disk); the row says so too.
    """
    with (Path(settings.STAFFETTA_SITE_FOLDER) / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return _round(peer, final)


def _round(peer: Peer, final: bool) -> SyncResult:
    asked = _asked()
    _note(started_at=utc_now())
    try:
        came = changed = 0
        set_back = records.note_set_back(peer)
        if not set_back or identity.role() is not Role.PRIMARY:
            # First, whatever hinders the rest: revocations among them hold whatever the documents say.
            came = records.pull(peer, _note_records_behind)
        if identity.role() is Role.BACKUP and (final or asked or _PACE.due()):
            with _PACE:
                records.require_whole_memory(peer)
                changed = configuration.pull(peer, Sync.CONFIG) + configuration.pull(peer, Sync.LIVE)
        elif identity.role() is Role.PRIMARY and not configuration.is_reconciled():
            configuration.reconcile(peer, set_back=set_back)
        if set_back:
            # Only now: until the configuration is joined, it is known by them that this appliance was set back.
            came += records.pull(peer, _note_records_behind)
        fetched = blobs.pull(peer, _go_on(final))
    except StaffettaError as error:
        _note(error=error.message[:300])
        raise
    result = SyncResult(changed, came, fetched.fetched, fetched.behind, fetched.bytes_behind)
    finished = {"finished_at": utc_now()} if result.complete else {}
    _note(
        **finished,
        blobs_behind=fetched.behind,
        bytes_behind=fetched.bytes_behind,
        error="; ".join(fetched.problems)[:300],
    )
    return result


def begin_role() -> None:
    """This appliance has just become primary or backup: all its configuration is compared with the other's once.

    A primary merges what the other has before its backup may take anything over; a backup takes over what it changed
    itself while it was none. In the caller's transaction.
    """
    _note(reconciled=False, asked_at=utc_now(), error="")


def _asked() -> bool:
    """Whether somebody has asked for a round since the last one began."""
    row = SyncState.objects.filter(only=True).exclude(asked_at=None).first()
    return row is not None and (row.started_at is None or row.asked_at is None or row.asked_at >= row.started_at)


def _go_on(final: bool) -> Callable[[], bool]:
    deadline = time.monotonic() + BLOB_SECONDS
    return lambda: final or time.monotonic() < deadline


def _note_records_behind(number: int) -> None:
    # Most rounds find nothing new: what has not changed is not written.
    SyncState.objects.filter(only=True).exclude(records_behind=number).update(records_behind=number)


def _note(**values: object) -> None:
    SyncState.objects.update_or_create(only=True, defaults=values)
