"""The audit log: audit records as rows to read and search, and the words for each act."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from staffetta.site.data.audit import AUDIT
from staffetta.site.data.models import Record
from staffetta.site.data.projections import Projection, register
from staffetta.site.management.models import AuditEntry

WORDS: Final[Mapping[str, Promise]] = {
    "user.signed-in": _("signed in"),
    "user.signed-out": _("signed out"),
    "user.signed-out-elsewhere": _("signed out everywhere else as"),
    "user.console-opened": _("opened the console in a browser as"),
    "user.sign-in-failed": _("failed to sign in"),
    "user.password-changed": _("changed the password of"),
    "user.password-reset": _("reset the password of"),
    "user.made": _("made the user"),
    "user.rights-changed": _("changed what may be done by"),
    "user.disabled": _("disabled the user"),
    "user.enabled": _("enabled the user"),
    "token.made": _("made an installer token"),
    "token.revoked": _("revoked an installer token"),
    "client.revoked": _("revoked the Jump Client"),
    "client.deleted": _("deleted the Jump Client"),
    "client.made-passive": _("made passive the Jump Client"),
    "client.made-active": _("made active the Jump Client"),
    "fleet.limit-changed": _("set the maximum of simultaneous Jump Client upgrades to"),
    "file.stored": _("stored the file"),
    "file.replaced": _("replaced the file"),
    "file.deleted": _("deleted the file"),
    "backup.created": _("made a backup"),
    "backup.restored": _("restored a backup"),
    "failover.key-set": _("set the inter-appliance pre-shared key"),
    "failover.established-as-primary": _("established failover, as the primary of"),
    "failover.established-as-backup": _("established failover, as the backup of"),
    "failover.sync-asked": _("asked for a data-sync"),
    "failover.became-primary": _("became the primary"),
    "failover.stepped-down": _("stepped down to backup"),
    "failover.broken": _("broke the failover relationship with"),
    "failover.upgrade-begun": _("began the upgrade of the pair"),
    "failover.upgrade-pause": _("paused the upgrade of the pair"),
    "failover.upgrade-resume": _("resumed the upgrade of the pair"),
    "failover.upgrade-undo": _("had the upgrade of the pair undone"),
    "failover.upgrade-taken-over": _("took over the upgrade of the pair"),
    "failover.conflict": _("kept the primary's version where both appliances had changed"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the audit log; ``words`` is the act in words, or its code when a newer version wrote it."""

    at: datetime
    actor: str
    action: str
    words: str | Promise
    subject: str
    detail: Mapping[str, Any]


def connect() -> None:
    """Register the projection."""
    register(Projection("audit-log", frozenset({AUDIT}), _apply, (AuditEntry,)))


def entries(search: str = "", *, offset: int = 0, limit: int = 100) -> tuple[Entry, ...]:
    """Return entries, newest first; ``search`` matches part of actor, act or subject."""
    rows = _matching(search).order_by("-at", "-origin", "-incarnation", "-sequence")[offset : offset + limit]
    return tuple(
        Entry(row.at, row.actor, row.action, WORDS.get(row.action, row.action), row.subject, row.detail) for row in rows
    )


def count(search: str = "") -> int:
    """Return how many entries ``entries`` would find in all."""
    return _matching(search).count()


def _matching(search: str) -> "QuerySet[AuditEntry]":
    words = search.strip()
    if not words:
        return AuditEntry.objects.all()
    return AuditEntry.objects.filter(
        Q(actor__icontains=words) | Q(action__icontains=words) | Q(subject__icontains=words)
    )


def _apply(record: Record) -> None:
    body: dict[str, Any] = record.body
    AuditEntry.objects.get_or_create(
        origin=record.origin,
        incarnation=record.incarnation,
        sequence=record.sequence,
        defaults={
            "at": record.at,
            "actor": str(body["actor"])[:150],
            "action": str(body["action"])[:64],
            "subject": str(body["subject"])[:300],
            "detail": body["detail"],
        },
    )
