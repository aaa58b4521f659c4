"""Acting on the fleet: who a client is, the list, revoking and deleting. What other rooms ask of it is named here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from staffetta.kernel.clock import parse_time, utc_now
from staffetta.kernel.errors import InvalidInput
from staffetta.site.data import audit, records
from staffetta.site.fleet import check_ins, presence, standing
from staffetta.site.fleet.enrolling import (
    EnrolledClient,
    MadeToken,
    TokenSummary,
    enrol,
    list_tokens,
    make_installer_token,
    revoke_token,
)
from staffetta.site.fleet.errors import ClientRevoked, ClientUnknown
from staffetta.site.fleet.models import JumpClient, Presence
from staffetta.site.fleet.presence import (
    FleetNow,
    fleet_now,
    forget_unknown_holders,
    heartbeat,
    leave,
    touch_online,
)
from staffetta.site.fleet.revocation import DELETED, REVOKED
from staffetta.site.fleet.standing import Standing

__all__ = [
    "ClientIdentity",
    "ClientSummary",
    "EnrolledClient",
    "FleetNow",
    "MadeToken",
    "Place",
    "TokenSummary",
    "UpdateStatus",
    "authenticate_client",
    "count_clients",
    "delete_client",
    "enrol",
    "fleet_now",
    "forget_unknown_holders",
    "heartbeat",
    "leave",
    "list_clients",
    "list_not_seen",
    "list_tokens",
    "make_installer_token",
    "revoke_client",
    "revoke_token",
    "revoked_among",
    "touch_online",
]


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who a client is, and whether it is to be passive; it must still prove that it holds ``public_key`` (Ed25519)."""

    id: str
    name: str
    public_key: bytes
    passive: bool


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """What a client has said of its updates: when it took on its version (else when it was enrolled), the version it
    waits to take on until its sessions have ended, the version it went back from, why and when.
    """

    updated_at: datetime
    waiting: str
    failed: str
    failed_why: str
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClientSummary:
    """A client as lists show it. ``last_seen`` and ``version`` are None until it has connected once.

    ``next_check_in`` is when a passive one that is not connected is expected at the latest. ``seen_since_upgrade`` says
    whether it was connected since the version of the site that serves now began to (C12).
    """

    id: str
    name: str
    online: bool
    version: str | None
    platform: Mapping[str, str]
    enrolled_at: datetime
    last_seen: datetime | None
    revoked: bool
    detail: Mapping[str, str]
    status: UpdateStatus
    passive: bool = False
    next_check_in: datetime | None = None
    seen_since_upgrade: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients stand on their way to the version ``wanted``."""

    standing: Standing
    wanted: str | None


def authenticate_client(client_id: str) -> ClientIdentity:
    """Return who an enrolled client is. Raises ``ClientRevoked``, ``ClientUnknown``."""
    row = JumpClient.objects.filter(pk=client_id).first()
    if row is None:
        raise ClientUnknown(_("No such Jump Client; install it again with a new installer token."))
    if row.revoked_at is not None:
        raise ClientRevoked(_("This Jump Client was revoked by an administrator."))
    return ClientIdentity(row.id, row.name, bytes(row.public_key), row.passive)


def revoked_among(client_ids: Collection[str]) -> set[str]:
    """Return which of these may not be connected (any more): revoked or deleted."""
    wanted = set(client_ids)
    good = set[str]()
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 500):
        part = ordered[start : start + 500]
        good.update(JumpClient.objects.filter(pk__in=part, revoked_at=None).values_list("pk", flat=True))
    return wanted - good


def list_clients(
    search: str = "",
    *,
    include_revoked: bool = False,
    online: bool = False,
    at: Place | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> tuple[ClientSummary, ...]:
    """Return clients by name; ``search`` matches part of the name, the version or the id, ``online`` who is so now,
    ``at`` who stands there (no revoked ones then).
    """
    rows = _matching(search, include_revoked, online, at).select_related("presence").order_by("name", "id")
    end = None if limit is None else offset + limit
    now = utc_now()
    silent, since = presence.silent_holders(now), check_ins.served_since()
    return tuple(_client_summary(row, silent, since) for row in rows[offset:end])


def list_not_seen(limit: int | None = None) -> tuple[ClientSummary, ...]:
    """Return, by name, the clients that were not seen since the site's last upgrade (C12); all of them may connect."""
    since = check_ins.served_since()
    rows = check_ins.not_seen_since(since).select_related("presence")[:limit]
    return tuple(_client_summary(row, set(), since) for row in rows)


def count_clients(
    search: str = "", *, include_revoked: bool = False, online: bool = False, at: Place | None = None
) -> int:
    """Return how many clients ``list_clients`` would find in all."""
    return _matching(search, include_revoked, online, at).count()


def revoke_client(actor: str, client_id: str) -> None:
    """Let a client in no more; its connections end within a few seconds. Raises ``ClientUnknown``."""
    with transaction.atomic():
        client = _client(client_id)
        if client.revoked_at is None:
            records.append(REVOKED, {"client": client.id, "name": client.name})
            audit.note(actor, "client.revoked", client.name, {"client": client.id})


def delete_client(actor: str, client_id: str) -> None:
    """Remove a client from the list for good; its reports stay. Raises ``ClientUnknown``."""
    with transaction.atomic():
        client = _client(client_id)
        records.append(DELETED, {"client": client.id, "name": client.name})
        audit.note(actor, "client.deleted", client.name, {"client": client.id})
        client.delete()


def _client(client_id: str) -> JumpClient:
    row = JumpClient.objects.filter(pk=client_id).first()
    if row is None:
        raise ClientUnknown(_("There is no such Jump Client."))
    return row


def _matching(search: str, include_revoked: bool, online: bool, at: Place | None) -> "QuerySet[JumpClient]":
    if at is not None:
        rows = standing.clients_at(at.standing, at.wanted, utc_now())
    elif online:
        rows = presence.online_clients(utc_now())
    else:
        rows = JumpClient.objects.all() if include_revoked else JumpClient.objects.filter(revoked_at=None)
    words = search.strip()
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(presence__version__icontains=words) | Q(pk__startswith=words))
    return rows


def _client_summary(row: JumpClient, silent: set[str], since: datetime | None) -> ClientSummary:
    try:
        seen: Presence | None = row.presence
    except Presence.DoesNotExist:
        seen = None
    detail = seen.detail if seen is not None else {}
    online = seen is not None and seen.online and seen.holder not in silent and row.revoked_at is None
    waited_for = row.passive and seen is not None and not online and row.revoked_at is None
    return ClientSummary(
        id=row.id,
        name=row.name,
        online=online,
        version=seen.version if seen is not None else None,
        platform=row.platform,
        enrolled_at=row.enrolled_at,
        last_seen=seen.last_seen if seen is not None else None,
        revoked=row.revoked_at is not None,
        detail=detail,
        status=UpdateStatus(
            updated_at=_moment(detail.get("updated_at")) or row.enrolled_at,
            waiting=str(detail.get("update_waiting", "")),
            failed=str(detail.get("update_failed", "")),
            failed_why=str(detail.get("update_failed_why", "")),
            failed_at=_moment(detail.get("update_failed_at")),
        ),
        passive=row.passive,
        next_check_in=check_ins.expected(seen.last_seen, detail) if seen is not None and waited_for else None,
        seen_since_upgrade=online or (seen is not None and (since is None or seen.last_seen >= since)),
    )


def _moment(text: object) -> datetime | None:
    """Read a time that a client told; one that cannot be read is as if it had told none."""
    try:
        return parse_time(text) if isinstance(text, str) else None
    except InvalidInput:
        return None
