"""Who is online: what the gateways say of the connections they hold, and how long their word counts.

A gateway process says so itself every few seconds (``heartbeat``); whoever a silent process held counts as offline.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from staffetta.kernel.clock import utc_now
from staffetta.site.data.records import current_incarnation
from staffetta.site.fleet.models import GatewayProcess, JumpClient, Presence, UpdateSlot

SILENT_AFTER: Final = timedelta(seconds=15)
"""A gateway beats every few seconds; this long without a beat and its connections count as gone."""
FORGOTTEN_AFTER: Final = timedelta(seconds=60)
VERSION_LENGTH: Final = 64
ADDRESS_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class FleetNow:
    """How many there are, and are connected right now; ``passive``: of all clients, those that only check in."""

    clients: int
    clients_online: int
    reps_online: int
    passive: int


def heartbeat(generation: str, version: str, reps: Collection[str]) -> None:
    """Say that this gateway process lives and which reps (ids) have a console connected to it."""
    now = utc_now()
    with transaction.atomic():
        GatewayProcess.objects.update_or_create(
            pk=current_incarnation(),
            defaults={"generation": generation, "version": version, "beat_at": now, "reps": sorted(set(reps))},
        )
        for gone in GatewayProcess.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER):
            Presence.objects.filter(holder=gone.pk, online=True).update(online=False)
            gone.delete()


def leave() -> None:
    """Say that this gateway process holds nobody any more (it has drained)."""
    holder = current_incarnation()
    with transaction.atomic():
        Presence.objects.filter(holder=holder, online=True).update(online=False)
        GatewayProcess.objects.filter(pk=holder).delete()


def forget_unknown_holders() -> None:
    """Count as offline whoever is held by a process that has never beaten here: one of the other appliance."""
    known = GatewayProcess.objects.values("pk")
    Presence.objects.filter(online=True).exclude(holder__in=known).update(online=False)


def touch_online(
    client_id: str, online: bool, version: str = "", detail: dict[str, Any] | None = None, address: str = ""
) -> None:
    """Note that a client has come, is still there, or has gone; a client that was deleted meanwhile is passed over.

    A goodbye counts only from the process that holds the client's newest connection. ``address`` is the IP address that
    it came from.
    """
    holder = current_incarnation()
    now = utc_now()
    with transaction.atomic():
        if not online:
            Presence.objects.filter(client_id=client_id, holder=holder).update(online=False, last_seen=now)
        elif JumpClient.objects.filter(pk=client_id).exists():
            Presence.objects.update_or_create(
                client_id=client_id,
                defaults={
                    "online": True,
                    "holder": holder,
                    "version": version[:VERSION_LENGTH],
                    "last_seen": now,
                    "detail": dict(detail or {}),
                    "address": address[:ADDRESS_LENGTH],
                },
            )
            _free_slot(client_id, version, detail or {})


def _free_slot(client_id: str, version: str, detail: Mapping[str, Any]) -> None:
    """Give a client's slot back: it was seen with the version, went back from it, or waits for its sessions' end."""
    done = {version, detail.get("update_failed"), detail.get("update_waiting")}
    UpdateSlot.objects.filter(client=client_id, version__in=[one for one in done if one]).delete()


def silent_holders(now: datetime) -> set[str]:
    """Return the gateway processes whose word does not count any more."""
    return set(GatewayProcess.objects.filter(beat_at__lt=now - SILENT_AFTER).values_list("pk", flat=True))


def online_clients(now: datetime) -> QuerySet[JumpClient]:
    """Return the clients that are connected and not revoked."""
    return JumpClient.objects.filter(
        Q(presence__online=True) & ~Q(presence__holder__in=silent_holders(now)), revoked_at=None
    )


def fleet_now() -> FleetNow:
    """Count for Status > Information (C5)."""
    now = utc_now()
    reps: set[str] = set()
    for process in GatewayProcess.objects.filter(beat_at__gte=now - SILENT_AFTER):
        reps.update(process.reps)
    all_of_them = JumpClient.objects.filter(revoked_at=None).aggregate(
        clients=Count("pk"), passive=Count("pk", filter=Q(passive=True))
    )
    return FleetNow(**all_of_them, clients_online=online_clients(now).count(), reps_online=len(reps))
