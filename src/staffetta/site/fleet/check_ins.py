"""Passive Jump Clients (C4, C12): which mode each is in, when it is expected, where it can be woken, who was not seen.

A passive client says in its status how often it checks in (``check_in_seconds``) and where it listens for a wake-up
(``wake_port``); what it says so is judged here before it is used.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.site.data import audit
from staffetta.site.fleet import presence
from staffetta.site.fleet.errors import ClientUnknown
from staffetta.site.fleet.models import JumpClient, Presence, ServedVersion
from staffetta.wire.vocabulary import ClientMode

LONGEST_SECONDS: Final = 24 * 3600
"""A passive client checks in at least this often (C4)."""
VERSION_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class WakePlace:
    """Where a passive client listened for a wake-up when it was last seen."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class CheckIns:
    """What is known of a passive client's check-ins: the last, when the next is expected at the latest (None: it has
    never come), and where it can be woken (None: nowhere that is known).
    """

    last: datetime | None
    expected: datetime | None
    wake: WakePlace | None


def of_passive(client_id: str) -> CheckIns | None:
    """Return how a passive client checks in; None for one that is active, revoked, or not known.

    One that was made active and has not heard of it yet still is what it said when it was here.
    """
    row = JumpClient.objects.filter(pk=client_id, revoked_at=None).first()
    if row is None:
        return None
    seen = Presence.objects.filter(client=row).first()
    if not row.passive and (seen is None or seen.detail.get("mode") != ClientMode.PASSIVE):
        return None
    if seen is None:
        return CheckIns(None, None, None)
    return CheckIns(seen.last_seen, expected(seen.last_seen, seen.detail), wake_place(seen.address, seen.detail))


def expected(last: datetime, detail: Mapping[str, Any]) -> datetime:
    """Return when a passive client that was last seen then comes at the latest."""
    seconds = _whole(detail.get("check_in_seconds"), 1, LONGEST_SECONDS)
    return last + timedelta(seconds=seconds or LONGEST_SECONDS)


def wake_place(address: str, detail: Mapping[str, Any]) -> WakePlace | None:
    """Return where a wake-up is to be sent: only ever to the address from which the client itself came."""
    port = _whole(detail.get("wake_port"), 1, 65_535)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return None
    return None if port is None else WakePlace(address, port)


def modes(client_ids: Collection[str]) -> dict[str, bool]:
    """Return of each client that may be connected whether it is to be passive; who is missing is revoked or deleted."""
    found: dict[str, bool] = {}
    ordered = sorted(set(client_ids))
    for start in range(0, len(ordered), 500):
        part = ordered[start : start + 500]
        found |= dict(JumpClient.objects.filter(pk__in=part, revoked_at=None).values_list("pk", "passive"))
    return found


def set_mode(actor: str, client_id: str, *, passive: bool) -> bool:
    """Make a client passive or active; it learns of it when it is connected next. False if it is so already.

    Raises ``ClientUnknown``.
    """
    with transaction.atomic():
        row = JumpClient.objects.filter(pk=client_id).first()
        if row is None:
            raise ClientUnknown(_("There is no such Jump Client."))
        if row.passive == passive:
            return False
        row.passive = passive
        row.save(update_fields=["passive"])
        audit.note(actor, "client.made-passive" if passive else "client.made-active", row.name, {"client": row.id})
    return True


def note_served(version: str) -> None:
    """Note that this version of the site serves clients from now on, unless it is noted already."""
    if ServedVersion.objects.filter(version=version[:VERSION_LENGTH]).exists():
        return
    ServedVersion.objects.update_or_create(
        only=True, defaults={"version": version[:VERSION_LENGTH], "since": utc_now()}
    )


def served_since() -> datetime | None:
    """Return when the version that serves now began to: the site's last upgrade."""
    return ServedVersion.objects.values_list("since", flat=True).first()


def not_seen_since(since: datetime | None) -> "QuerySet[JumpClient]":
    """Return the clients that may connect and have not since then (C12), by name; nobody if it is not known."""
    rows = JumpClient.objects.filter(revoked_at=None).order_by("name", "id")
    if since is None:
        return rows.none()
    silent = presence.silent_holders(utc_now())
    seen = Q(presence__last_seen__gte=since) | (Q(presence__online=True) & ~Q(presence__holder__in=silent))
    return rows.exclude(pk__in=JumpClient.objects.filter(seen).values("pk"))


def _whole(said: object, least: int, most: int) -> int | None:
    """Read a number that a client told as text; one that is none, or out of range, is as if it had told none."""
    if not isinstance(said, str) or not said.isascii() or not said.isdigit() or len(said) > 9:
        return None
    number = int(said)
    return number if least <= number <= most else None
