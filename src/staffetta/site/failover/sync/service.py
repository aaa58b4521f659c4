"""Data-sync as a whole: round after round, by the worker of each appliance; its progress is a row that pages show.

The backup pulls configuration and live state from the primary. Records and blobs go both ways: each side pulls.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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
    """One round. ``final``: the last before traffic moves: it does not end before every blob is here.

    Raises what hindered it (``PeerUnreachable``, ``PeerRefused``, ``WrongRole``, a full disk); the row says so too.
    """
    _note(started_at=utc_now())
    try:
        changed = 0
        if identity.role() is Role.BACKUP:
            changed = configuration.pull(peer, Sync.CONFIG) + configuration.pull(peer, Sync.LIVE)
        elif identity.role() is Role.PRIMARY and not _reconciled():
            # Records first: revocations among them hold whatever the merge decides.
            records.pull(peer)
            configuration.reconcile(peer)
        came = records.pull(peer)
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


def begin_reign() -> None:
    """This appliance has just become primary: it merges what the other has before its backup may take anything over.

    In the caller's transaction.
    """
    _note(reconciled=False, asked_at=utc_now(), error="")


def _reconciled() -> bool:
    return SyncState.objects.filter(only=True, reconciled=True).exists()


def _go_on(final: bool) -> Callable[[], bool]:
    deadline = time.monotonic() + BLOB_SECONDS
    return lambda: final or time.monotonic() < deadline


def _note(**values: object) -> None:
    SyncState.objects.update_or_create(only=True, defaults=values)
