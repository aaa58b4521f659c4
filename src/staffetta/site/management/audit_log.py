"""The audit log: audit records as rows to read and search, and the words for each act."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from staffetta.site.accounts.permissions import LABELS
from staffetta.site.data import identity
from staffetta.site.data.audit import AUDIT
from staffetta.site.data.models import Record
from staffetta.site.data.projections import Projection, register
from staffetta.site.management.models import AuditEntry
from staffetta.ui.sentences import say, say_actor

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
    "client.enrolled": _("enrolled the Jump Client"),
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
    "failover.not-established": _("could not establish failover with"),
    "failover.sync-asked": _("asked for a data-sync"),
    "failover.became-primary": _("became the primary"),
    "failover.stepped-down": _("stepped down to backup"),
    "failover.broken": _("broke the failover relationship with"),
    "failover.upgrade-begun": _("began the upgrade of the pair"),
    "failover.upgrade-pause": _("paused the upgrade of the pair"),
    "failover.upgrade-resume": _("resumed the upgrade of the pair"),
    "failover.upgrade-undo": _("had the upgrade of the pair undone"),
    "failover.upgrade-taken-over": _("took over the upgrade of the pair"),
    "failover.upgrade-finished": _("has finished"),
    "failover.upgrade-undone": _("was undone"),
    "failover.upgrade-needs-a-person": _("needs a person"),
    "failover.conflict": _("kept the primary's version where both appliances had changed"),
}

DETAILS: Final[Mapping[str, Promise]] = {
    "administrator": _("administrator"),
    "allowed": _("allowed"),
    "at": _("at"),
    "base": _("base"),
    "before": _("before"),
    "bytes": _("bytes"),
    "client": _("Jump Client"),
    "differed": _("differed"),
    "encrypted": _("encrypted"),
    "from": _("from"),
    "full": _("full"),
    "generated": _("generated"),
    "hours": _("hours"),
    "job_term": _("job term"),
    "kept": _("kept"),
    "logged_history": _("logged history"),
    "lost": _("lost"),
    "made_at": _("made"),
    "made_by": _("made by"),
    "origin": _("origin"),
    "own": _("own"),
    "passive": _("passive"),
    "peer": _("other appliance"),
    "records": _("records"),
    "removed": _("removed"),
    "sha256": _("SHA-256"),
    "site": _("site"),
    "size": _("size"),
    "term": _("role term"),
    "token": _("installer token"),
    "uses": _("computers"),
    "why": _("why"),
    "with_sync": _("with a data-sync"),
}
"""The words for what is told of an act."""

SUBJECTS_IN_WORDS: Final = frozenset({"user.signed-in"})
"""The acts whose subject is words of this program; all others are about something with a name."""
DETAILS_IN_WORDS: Final = frozenset({"kept", "lost", "why"})
"""What is told in words of this program; the rest are names, numbers and versions."""
IDS: Final = "failover.upgrade-"
"""How the acts begin whose subject is an id that stands nowhere else on the pages."""
DETAILS_OF_PROGRAMS: Final = frozenset({"client", "job", "job_term", "peer"})
"""What is told for programs: ids of what has a name or an address, which is told too."""
NOT_REACHED: Final = "not reached"
"""In the place of the peer's id."""
NAMES_TYPED: Final = frozenset({"user.sign-in-failed"})
"""The acts whose actor is what anybody typed as a name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the audit log; ``words`` is the act in words, or its code when a newer version wrote it.

    ``elsewhere``: another appliance wrote it, as a rule the other one of the pair.
    """

    at: datetime
    actor: str
    action: str
    words: str | Promise
    subject: str
    detail: Mapping[str, Any]
    elsewhere: bool = False

    @property
    def who(self) -> str:
        """The actor: the name of an account, or what a program calls itself in the reader's language."""
        return self.actor if self.action in NAMES_TYPED else say_actor(self.actor)

    @property
    def about(self) -> str:
        """The subject: a name, or words in the reader's language; nothing for an id."""
        if self.action.startswith(IDS):
            return ""
        return say(self.subject) if self.action in SUBJECTS_IN_WORDS else self.subject

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What people are told of the act, in words; what this version has no words for as it was written."""
        return tuple(
            (str(DETAILS.get(name, name)), _in_words(name, value))
            for name, value in self.detail.items()
            if name not in DETAILS_OF_PROGRAMS or value == NOT_REACHED
        )


def _in_words(name: str, value: object) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if value == NOT_REACHED:
        return gettext("not reached")
    if name == "allowed":
        labels: dict[str, Promise] = {right.value: label for right, label in LABELS.items()}
        return ", ".join(str(labels.get(code, code)) for code in str(value).split(", "))
    return say(value) if name in DETAILS_IN_WORDS else str(value)


def connect() -> None:
    """Register the projection."""
    register(Projection("audit-log", frozenset({AUDIT}), _apply, (AuditEntry,)))


def entries(search: str = "", *, offset: int = 0, limit: int = 100) -> tuple[Entry, ...]:
    """Return entries, newest first; ``search`` matches part of actor, act or subject."""
    rows = _matching(search).order_by("-at", "-origin", "-incarnation", "-sequence")[offset : offset + limit]
    here = identity.origin()
    return tuple(
        Entry(
            at=row.at,
            actor=row.actor,
            action=row.action,
            words=WORDS.get(row.action, row.action),
            subject=row.subject,
            detail=row.detail,
            elsewhere=row.origin != here,
        )
        for row in rows
    )


def count(search: str = "") -> int:
    """Return how many entries ``entries`` would find in all."""
    return _matching(search).count()


def last(action: str) -> datetime | None:
    """Return when an act was done last, on either appliance of a pair; None if never."""
    newest = AuditEntry.objects.filter(action=action).order_by("-at").values_list("at", flat=True)
    return newest.first()


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
