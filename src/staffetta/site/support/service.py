"""Acting on sessions: opening, who is attached, the fence, segments of the recording, and the end.

Every event of a session's story is a record in the same transaction, so a killed process loses nothing of it. A
probe's session leaves no record: it is outside reports, sync and licences.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.accounts.sign_ins import SignIn
from staffetta.site.data import blobs, identity, records
from staffetta.site.data.records import current_incarnation
from staffetta.site.fleet import presence
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.errors import ClientRevoked, ClientUnknown
from staffetta.site.fleet.models import GatewayProcess, JumpClient
from staffetta.site.support.errors import BadAttach, Fenced, SessionOver, SessionRefused, SessionUnknown
from staffetta.site.support.models import AttachedEnd, LiveSession, SessionReport, SessionSegment, SessionTransfer
from staffetta.site.support.pauses import ENDS_GIVE_UP_AFTER, Before, pause_before
from staffetta.site.support.reports import ATTACHED, DETACHED, ENDED, OPENED, SEGMENT, TAKEN_UP, TRANSFERRED
from staffetta.wire import notes
from staffetta.wire.vocabulary import SessionKind

ENDS: Final = frozenset({"console", "jump-client"})
MOST_COUNTER: Final = 2**63 - 1
SILENT: Final = "silent"


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A session that has just been opened."""

    id: str
    recorded: bool
    client_name: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session's present state. ``counters`` holds the highest counter seen of each end that has attached.

    ``sign_in`` is by what the console came online that opened it; unknown, it is taken for as old as the session.
    """

    id: str
    kind: str
    rep_id: str
    rep_name: str
    client_id: str
    client_name: str
    recorded: bool
    probe: bool
    opened_at: datetime
    ended_at: datetime | None
    end_reason: str
    counters: Mapping[str, int]
    sign_in: SignIn


@dataclass(frozen=True, slots=True)
class Attached:
    """An attach that was let in; ``again``: the end was in the session before, here or at the other appliance.
    ``pause_ms`` is how long it was away, None at its first attach and when that is not known."""

    counter: int
    pause_ms: int | None
    again: bool = False


def open_session(
    rep_id: str,
    client_id: str,
    kind: str,
    *,
    recorded: bool = True,
    probe: bool = False,
    sign_in: SignIn | None = None,
) -> SessionOpened:
    """Open a session of a rep with a client; ``sign_in`` is by what the console came online. Raises ``SessionRefused``.

    A probe (of a new generation that proves itself) needs neither account nor client and leaves no report. A session
    in which files are moved is never recorded: their bytes stay with the ends.
    """
    now = utc_now()
    recorded = recorded and kind != SessionKind.FILES
    with transaction.atomic():
        rep_name, client_name = ("probe", "probe") if probe else _parties(rep_id, client_id)
        row = LiveSession.objects.create(
            kind=kind,
            rep_id=rep_id,
            rep_name=rep_name,
            client_id=client_id,
            client_name=client_name,
            recorded=recorded,
            probe=probe,
            opened_at=now,
            **_signed_in_by(sign_in),
        )
        _tell(
            row,
            OPENED,
            now,
            kind=kind,
            rep_id=rep_id,
            rep_name=rep_name,
            client_id=client_id,
            client_name=client_name,
            recorded=recorded,
        )
    return SessionOpened(row.id, recorded, client_name, now)


def take_up(
    session: str,
    kind: str,
    rep_id: str,
    client_id: str,
    recorded: bool,
    opened_at: datetime,
    at: datetime,
    *,
    sign_in: SignIn | None = None,
) -> SessionFacts:
    """Take up a session that the other appliance opened and could not tell of, from what its tickets say of it.

    One that is known here is returned as it is. Names that are not known either come with the other's records.
    """
    rep_name = Account.objects.filter(pk=rep_id).values_list("username", flat=True).first() or ""
    client_name = JumpClient.objects.filter(pk=client_id).values_list("name", flat=True).first() or ""
    whose = {"rep_id": rep_id, "rep_name": rep_name, "client_id": client_id, "client_name": client_name}
    signed_in = _signed_in_by(sign_in)
    with transaction.atomic():
        row, new = LiveSession.objects.get_or_create(
            pk=session, defaults={**whose, **signed_in, "kind": kind, "recorded": recorded, "opened_at": opened_at}
        )
        if new:
            opened = format_time(opened_at)
            _tell(row, TAKEN_UP, at, kind=kind, recorded=recorded, opened_at=opened, **whose)
    return _facts(row)


def is_probe(session_id: str) -> bool:
    """Whether this is a session by which a generation of this appliance proves itself."""
    return LiveSession.objects.filter(pk=session_id, probe=True).exists()


def note_attached(
    session: str, end: str, counter: int, generation: str, version: str, at: datetime, *, away_ms: int | None = None
) -> Attached:
    """Let an end into a session under a counter above every one it has used, and raise the fence to it.

    ``away_ms`` is how long it says it was away, None at its first attach.
    Raises ``Fenced`` for a counter that is not above, ``SessionUnknown``, ``SessionOver``, ``BadAttach``.
    """
    if end not in ENDS or not 0 <= counter <= MOST_COUNTER:
        raise BadAttach(f"A session has no end {end!r} with counter {counter}.")
    holder = current_incarnation()
    with transaction.atomic():
        row = _open_row(session)
        known = AttachedEnd.objects.filter(session=row, end=end).first()
        if known is not None and counter <= known.counter:
            raise Fenced(f"The {end} has attached with counter {known.counter} already; {counter} is an older one.")
        pause = pause_before(_before(known), holder, generation, at, away_ms)
        AttachedEnd.objects.update_or_create(
            session=row,
            end=end,
            defaults={
                "counter": counter,
                "generation": generation[:64],
                "version": version[:64],
                "holder": holder,
                "present": True,
                "changed_at": at,
            },
        )
        if row.silent_since is not None:
            row.silent_since = None
            row.save(update_fields=["silent_since"])
        _tell(
            row,
            ATTACHED,
            at,
            end=end,
            counter=counter,
            generation=generation[:64],
            version=version[:64],
            site_version=settings.STAFFETTA_VERSION[:64],
            pause_ms=pause,
        )
    return Attached(counter, pause, known is not None or away_ms is not None)


def note_detached(session: str, end: str, counter: int, at: datetime, reason: str = "") -> None:
    """Note that an end's connection is gone; nothing happens when a newer one has attached meanwhile."""
    with transaction.atomic():
        known = (
            AttachedEnd.objects.select_related("session")
            .filter(session_id=session, end=end, counter=counter, present=True, session__ended_at=None)
            .first()
        )
        if known is not None:
            known.present = False
            known.changed_at = at
            known.save(update_fields=["present", "changed_at"])
            _tell(known.session, DETACHED, at, end=end, counter=counter, reason=reason[:200])


def note_transfer(session: str, end: str, told: notes.Transferred, at: datetime) -> None:
    """Note what an end says of a transfer of a file; said again (a note is replayed) it is not noted again.

    Nothing happens in a session of another kind. Raises ``SessionUnknown``.
    """
    with transaction.atomic():
        row = _row(session)
        known = SessionTransfer.objects.filter(event__report_id=session, event__end=end, channel=told.channel)
        if row.kind != SessionKind.FILES or known.exists():
            return
        _tell(
            row,
            TRANSFERRED,
            at,
            end=end,
            channel=told.channel,
            direction=told.direction.value,
            name=told.name,
            path=told.path,
            size=told.size,
            sha256="" if told.sha256 is None else told.sha256.hex(),
            outcome=told.outcome,
        )


def end_session(session: str, reason: str, at: datetime | None = None) -> bool:
    """End a session; returns False if it was over already. Raises ``SessionUnknown``."""
    now = at or utc_now()
    with transaction.atomic():
        row = _row(session)
        if row.ended_at is not None:
            return False
        row.ended_at = now
        row.end_reason = reason[:200]
        row.save(update_fields=["ended_at", "end_reason"])
        AttachedEnd.objects.filter(session=row, present=True).update(present=False, changed_at=now)
        _tell(row, ENDED, now, reason=row.end_reason)
    return True


def live_sessions() -> tuple[SessionFacts, ...]:
    """Return the sessions that have not ended, oldest first; probes are among them, marked."""
    rows = LiveSession.objects.filter(ended_at=None).prefetch_related("ends").order_by("opened_at", "id")
    return tuple(_facts(row) for row in rows)


def live_sessions_of(rep_id: str, limit: int) -> tuple[SessionFacts, ...]:
    """Return the newest sessions of a rep that have not ended."""
    rows = LiveSession.objects.filter(rep_id=rep_id, ended_at=None, probe=False).order_by("-opened_at")[:limit]
    return tuple(_facts(row) for row in rows)


def ended_elsewhere(sessions: Collection[str]) -> dict[str, str]:
    """Return which of these the other appliance has ended, and why: its record says so, whatever goes on here."""
    ended = SessionReport.objects.filter(pk__in=sessions, ended_at__isnull=False)
    return dict(ended.values_list("pk", "end_reason"))


def count_live_sessions() -> int:
    """Return how many sessions go on right now, probes left out."""
    return LiveSession.objects.filter(ended_at=None, probe=False).count()


def support_was_given() -> bool:
    """Return whether this site has ever had a session, probes left out."""
    return SessionReport.objects.exists()


def session(session_id: str) -> SessionFacts:
    """Return one session. Raises ``SessionUnknown``."""
    return _facts(_row(session_id))


def add_segment(session: str, path: Path, sha256: str, size: int, at: datetime | None = None) -> None:
    """Take a sealed segment's file from ``path`` (same disk) into the blobs and into the session's report.

    The file goes away once this is committed. Safe to repeat after a crash: a segment that was taken already is not
    taken twice. Also takes segments of a session that has ended; drops those of a probe. Raises ``SessionUnknown``,
    ``BlobDamaged`` (the file stays).
    """
    with transaction.atomic():
        row = _row(session)
        if row.probe:
            path.unlink(missing_ok=True)
            return
        if not path.exists() and SessionSegment.objects.filter(report_id=session, sha256=sha256).exists():
            return
        blobs.adopt(path, sha256, size)
        if not SessionSegment.objects.filter(report_id=session, sha256=sha256).exists():
            _tell(row, SEGMENT, at or utc_now(), sha256=sha256, size=size)


def expire_silent(now: datetime) -> tuple[str, ...]:
    """End the sessions of which an end has been gone so long that it has given up; returns their ids.

    It never comes back, so the other one must not wait for ever: a tab that was closed would leave a shell behind. An
    end is gone when its connection was seen to end, or the gateway process that held it is silent. The time also runs
    from when this is first noticed, so that a restarted site gives the ends their whole time to come back. On a backup
    nobody is ever attached, and nothing is ended.
    """
    if not identity.role().serves:
        return ()
    beats = dict(GatewayProcess.objects.values_list("pk", "beat_at"))
    alive = {pk for pk, beat in beats.items() if beat >= now - presence.SILENT_AFTER}
    over: list[str] = []
    for row in LiveSession.objects.filter(ended_at=None).prefetch_related("ends"):
        ends = tuple(row.ends.all())
        gone = [end for end in ends if not end.present or (bool(alive) and end.holder not in alive)]
        if ends and not gone:
            continue
        if row.silent_since is None:
            LiveSession.objects.filter(pk=row.pk, silent_since=None).update(silent_since=now)
            continue
        given_up = not ends or any(end.present or now - end.changed_at >= ENDS_GIVE_UP_AFTER for end in gone)
        if given_up and now - row.silent_since >= ENDS_GIVE_UP_AFTER and end_session(row.pk, SILENT, now):
            over.append(row.pk)
    return tuple(over)


def _parties(rep_id: str, client_id: str) -> tuple[str, str]:
    if not accounts.may(rep_id, Allowed.START_SESSIONS):
        raise SessionRefused("may-not-start-sessions", _("This account may not start sessions."))
    try:
        client = fleet.authenticate_client(client_id)
    except ClientUnknown as error:
        raise SessionRefused("client-unknown", error.message) from None
    except ClientRevoked as error:
        raise SessionRefused("client-revoked", error.message) from None
    return Account.objects.values_list("username", flat=True).get(pk=rep_id), client.name


def _before(known: AttachedEnd | None) -> Before | None:
    if known is None:
        return None
    beat = GatewayProcess.objects.filter(pk=known.holder).values_list("beat_at", flat=True).first()
    return Before(known.present, known.changed_at, known.holder, known.generation, beat)


def _tell(row: LiveSession, record_kind: str, at: datetime, **body: Any) -> None:
    if not row.probe:
        records.append(record_kind, {"session": row.pk, **body}, at=at)


def _row(session_id: str) -> LiveSession:
    row = LiveSession.objects.filter(pk=session_id).first()
    if row is None:
        raise SessionUnknown(_("There is no such session."))
    return row


def _open_row(session_id: str) -> LiveSession:
    row = _row(session_id)
    if row.ended_at is not None:
        raise SessionOver(_("The session has ended."))
    return row


def _signed_in_by(sign_in: SignIn | None) -> dict[str, Any]:
    if sign_in is None:
        return {}
    return {"web": sign_in.web or None, "signed_in_since": sign_in.since}


def _facts(row: LiveSession) -> SessionFacts:
    return SessionFacts(
        row.id,
        row.kind,
        row.rep_id,
        row.rep_name,
        row.client_id,
        row.client_name,
        row.recorded,
        row.probe,
        row.opened_at,
        row.ended_at,
        row.end_reason,
        {end.end: end.counter for end in row.ends.all()},
        SignIn(row.rep_id, row.web or "", row.signed_in_since or row.opened_at),
    )
