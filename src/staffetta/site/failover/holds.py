"""What a pair job has switched off on this appliance: the role's automatic behaviour, editing, clients that follow.

A freeze ends by itself; a suspension and held clients stay until the job ends or is undone.
"""

from datetime import datetime
from typing import Final

from staffetta.site.data import identity
from staffetta.site.failover.models import PairHold
from staffetta.site.fleet import updates as fleet

_CLIENTS_HELD: Final = "pair upgrade "


def suspended_by() -> str | None:
    """Return the job for whose sake this appliance does nothing about its role by itself."""
    return _hold().suspended_by or None


def suspend(job: str) -> None:
    """Do nothing about the role by itself until ``resume``."""
    _write(suspended_by=job)


def resume(job: str) -> None:
    """Act on the role by itself again, if it was this job that had suspended it."""
    PairHold.objects.filter(only=True, suspended_by=job).update(suspended_by="")


def frozen_by() -> str | None:
    """Return the job for whose sake configuration is read-only at this moment."""
    return (_hold().frozen_by or None) if identity.frozen() else None


def frozen_until() -> datetime | None:
    """Return when that ends at the latest."""
    return identity.frozen_until()


def freeze(job: str, until: datetime) -> None:
    """Make configuration read-only; it thaws by itself at ``until``."""
    _write(frozen_by=job)
    identity.freeze(until)


def thaw(job: str) -> None:
    """Let configuration be edited again, if it was this job that had frozen it."""
    if PairHold.objects.filter(only=True, frozen_by=job).update(frozen_by=""):
        identity.freeze(None)


def clients_held_by() -> str | None:
    """Return the job for whose sake clients keep their version."""
    reason, _ = fleet.held()
    return reason.removeprefix(_CLIENTS_HELD) if reason.startswith(_CLIENTS_HELD) else None


def hold_clients(job: str) -> None:
    """Have every client keep its version until ``release_clients``."""
    if clients_held_by() != job:
        fleet.hold(f"{_CLIENTS_HELD}{job}")


def release_clients(job: str) -> None:
    """Let clients follow again, if it was a pair job that had held them."""
    if clients_held_by() == job:
        fleet.release_hold()


def _hold() -> PairHold:
    return PairHold.objects.filter(only=True).first() or PairHold()


def _write(**values: str) -> None:
    PairHold.objects.update_or_create(only=True, defaults=values)
