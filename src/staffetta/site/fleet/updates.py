"""Acting on the rollout of Jump Clients: slots in the database, the limit, the hold, and how far the fleet is.

Whoever gives out a slot locks one row first (SQLite: the whole database, by an immediate transaction), so two answers
never count the same free slot (C4).
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.kernel.log import get_logger
from staffetta.site.data import audit
from staffetta.site.fleet import check_ins, presence, rollout, standing
from staffetta.site.fleet.errors import BadLimit
from staffetta.site.fleet.models import JumpClient, Presence, Rollout, UpdateLimit, UpdateSlot
from staffetta.site.fleet.rollout import Answer, Facts, Slot, Verdict
from staffetta.site.fleet.standing import Standing

DEFAULT_LIMIT: Final = 20
HIGHEST_LIMIT: Final = 10_000
JUMP_CLIENT: Final = "jump-client"
REASON_LENGTH: Final = 500
KEPT_SECONDS: Final = 3.0
"""Pages that ask again and again count the fleet at most this often, however many are open."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks: who it is (perhaps nobody), what it is, its version, a version it went back from."""

    client: str
    kind: str
    version: str
    failed: str = ""


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """How far Jump Clients are on their way to ``wanted``; revoked ones do not count.

    ``updating`` are the slots in use, ``never_seen`` those that have not connected yet, ``not_seen`` those that have
    not since the site's last upgrade, ``upgraded`` (C12). ``held`` is the reason why nobody updates now, or empty.
    ``standings`` counts each client once, in the order of the bar; ``behind`` are all that do not have the version yet.
    """

    wanted: str | None
    clients: int
    current: int
    behind: int
    never_seen: int
    updating: int
    failed: int
    limit: int
    held: str
    held_since: datetime | None
    passive: int = 0
    not_seen: int = 0
    upgraded: datetime | None = None
    standings: Mapping[Standing, int] = field(default_factory=dict)


def which_version(question: Question, wanted: str | None, now: datetime | None = None) -> Answer:
    """Answer a client, and store its slot before it is told to update.

    Most questions come from clients that are current, or must wait: they cost no write.
    """
    now = now or utc_now()
    first = rollout.answer(_facts(question, wanted, now))
    if not first.take:
        return first
    with transaction.atomic():
        _lock()
        said = rollout.answer(_facts(question, wanted, now))
        if said.take:
            UpdateSlot.objects.filter(since__lte=now - rollout.SLOT_TIME).delete()
            UpdateSlot.objects.update_or_create(
                client=question.client, defaults={"version": said.version, "since": now}
            )
    return said


def slots_in_use() -> tuple[Slot, ...]:
    """Return who may update now, the first first."""
    rows = UpdateSlot.objects.order_by("since", "client")
    return rollout.in_use((Slot(row.client, row.version, row.since) for row in rows), utc_now())


def is_upgrading(client: str) -> bool:
    """Whether a client may update now; it is away for a moment when it restarts."""
    return any(slot.client == client for slot in slots_in_use())


def limit() -> int:
    """Return *Maximum simultaneous Jump Client upgrades*."""
    row = UpdateLimit.objects.first()
    return DEFAULT_LIMIT if row is None else row.simultaneous


def set_limit(actor: str, simultaneous: int) -> None:
    """Set *Maximum simultaneous Jump Client upgrades*. Raises ``BadLimit``.

    With a lower limit, those who are updating go on; nobody follows until there are fewer.
    """
    if not 1 <= simultaneous <= HIGHEST_LIMIT:
        raise BadLimit(_("Between 1 and %(most)d Jump Clients may upgrade at a time.") % {"most": HIGHEST_LIMIT})
    with transaction.atomic():
        before = limit()
        if before != simultaneous:
            UpdateLimit.objects.update_or_create(only=True, defaults={"simultaneous": simultaneous})
            audit.note(actor, "fleet.limit-changed", str(simultaneous), {"before": before})


def hold(reason: str) -> None:
    """Tell every client to stay, until ``release_hold``; it outlives restarts. Who updates already goes on."""
    with transaction.atomic():
        _lock()
        Rollout.objects.filter(only=True).update(held=reason[:REASON_LENGTH] or "held", held_since=utc_now())
    _log.info("Jump Clients are held", extra={"reason": reason})


def release_hold() -> None:
    """Let clients follow again; nothing if they are not held."""
    if Rollout.objects.filter(only=True).exclude(held="").update(held="", held_since=None):
        _log.info("Jump Clients may follow")


def held() -> tuple[str, datetime | None]:
    """Return why nobody updates now (empty: they do), and since when."""
    row = Rollout.objects.first()
    return ("", None) if row is None else (row.held, row.held_since)


def progress(wanted: str | None) -> FleetProgress:
    """Count how far the fleet is (C5, U12)."""
    standings = standing.counts(wanted, utc_now())
    reason, since = held()
    upgraded = check_ins.served_since()
    return FleetProgress(
        wanted=wanted,
        clients=sum(standings.values()),
        current=standings[Standing.CURRENT],
        behind=sum(standings[one] for one in (Standing.UPDATING, Standing.BEHIND, Standing.FAILED)),
        never_seen=standings[Standing.NEVER_SEEN],
        updating=len(slots_in_use()),
        failed=standings[Standing.FAILED],
        limit=limit(),
        held=reason,
        held_since=since,
        passive=JumpClient.objects.filter(revoked_at=None, passive=True).count(),
        not_seen=check_ins.not_seen_since(upgraded).count(),
        upgraded=upgraded,
        standings=standings,
    )


class LateProgress:
    """How far the fleet is, at most ``KEPT_SECONDS`` old; counting 10,000 clients costs a good part of 0.1 s."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._kept: tuple[float, FleetProgress] | None = None

    def read(self, wanted: str | None) -> FleetProgress:
        """As ``progress``, but what was counted a moment ago for the same version is not counted again."""
        with self._counting:
            now = time.monotonic()
            if self._kept is None or now - self._kept[0] > KEPT_SECONDS or self._kept[1].wanted != wanted:
                self._kept = now, progress(wanted)
            return self._kept[1]


def count_behind(wanted: str | None) -> int:
    """Count the Jump Clients that were seen with an older version: one query, whose rows are versions, not clients."""
    if wanted is None:
        return 0
    versions = (
        Presence.objects.filter(client__revoked_at=None).values_list("version").annotate(clients=Count("pk")).order_by()
    )
    return sum(clients for version, clients in versions if rollout.behind(version, wanted))


def _facts(question: Question, wanted: str | None, now: datetime) -> Facts:
    if wanted is None or not rollout.behind(question.version, wanted):
        return Facts(wanted, question.client, question.version, question.failed, False, (), 0, False, 0, now)
    known = question.kind == JUMP_CLIENT and JumpClient.objects.filter(pk=question.client, revoked_at=None).exists()
    slots = tuple(
        Slot(row.client, row.version, row.since) for row in UpdateSlot.objects.filter(since__gt=now - rollout.SLOT_TIME)
    )
    most = limit()
    return Facts(
        wanted=wanted,
        client=question.client,
        version=question.version,
        failed=question.failed,
        needs_slot=known,
        slots=slots,
        limit=most,
        held=bool(held()[0]),
        behind=_waiting(wanted) if len(slots) >= most else 0,
        now=now,
    )


def _waiting(wanted: str) -> int:
    """How many are behind and ask again by themselves: those online, and passive ones, which ask from afar."""
    here = presence.online_clients(utc_now()).exclude(presence__version=wanted).filter(passive=False).count()
    afar = JumpClient.objects.filter(revoked_at=None, passive=True).exclude(presence=None)
    return here + afar.exclude(presence__version=wanted).count()


def _lock() -> None:
    """Make this transaction the only one that gives out slots, for as long as it lasts."""
    Rollout.objects.get_or_create(only=True)
    Rollout.objects.select_for_update().get(only=True)


def words(said: Answer) -> str:
    """Return the sentence that a client logs and shows."""
    match said.verdict:
        case Verdict.UPDATE:
            return _("This site brings the client %(version)s.") % {"version": said.version}
        case Verdict.FULL:
            return _("As many Jump Clients as may are upgrading already; ask again.")
        case Verdict.HELD:
            return _("Upgrades of Jump Clients are held for now; ask again.")
        case Verdict.BACKUP:
            return _("This appliance is the backup of a pair; ask the primary.")
        case Verdict.FAILED:
            return _("This client went back from the newer version; it is tried again after a day.")
        case Verdict.CURRENT:
            return ""
