"""Session records to reports: what each kind adds, so that any order and any repetition gives the same rows."""

from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import parse_time
from staffetta.site.data import blobs
from staffetta.site.data.models import Record
from staffetta.site.data.projections import Projection, register
from staffetta.site.support.models import SessionEvent, SessionReport, SessionSegment, SessionTransfer

OPENED: Final = "session.opened"
TAKEN_UP: Final = "session.taken-up"
"""Another appliance than the one that opened it serves the session, without having heard of it."""
ATTACHED: Final = "session.attached"
DETACHED: Final = "session.detached"
SEGMENT: Final = "session.segment"
TRANSFERRED: Final = "session.transferred"
ENDED: Final = "session.ended"
KINDS: Final = frozenset({OPENED, TAKEN_UP, ATTACHED, DETACHED, SEGMENT, TRANSFERRED, ENDED})


def connect() -> None:
    """Register the projection and that segments hold blobs."""
    tables = (SessionTransfer, SessionEvent, SessionSegment, SessionReport)
    register(Projection("session-reports", KINDS, _apply, tables))
    blobs.add_holder(SessionSegment)


def _apply(record: Record) -> None:
    body: dict[str, Any] = record.body
    report, _ = SessionReport.objects.get_or_create(pk=body["session"])
    if record.kind == SEGMENT:
        _add_segment(report, record)
        return
    event, new = SessionEvent.objects.get_or_create(
        origin=record.origin,
        incarnation=record.incarnation,
        sequence=record.sequence,
        defaults={
            "report": report,
            "at": record.at,
            "event": record.kind.removeprefix("session."),
            "end": body.get("end", ""),
            "counter": body.get("counter"),
            "generation": body.get("generation", ""),
            "version": body.get("version", ""),
            "site_version": body.get("site_version", ""),
            "pause_ms": body.get("pause_ms"),
            "reason": body.get("reason", ""),
        },
    )
    if not new:
        return
    if record.kind == TRANSFERRED:
        told = ("channel", "direction", "name", "path", "size", "sha256", "outcome")
        SessionTransfer.objects.create(event=event, **{name: body[name] for name in told})
    elif record.kind == OPENED:
        _describe(report, body, record.at)
    elif record.kind == TAKEN_UP and _first_taken_up(report) == (record.origin, record.incarnation, record.sequence):
        _describe(report, body, parse_time(body["opened_at"]))
    elif record.kind == ENDED and (
        # two ends may end it at once, each through its own appliance: the earlier word counts
        report.ended_at is None or (record.at, body["reason"]) < (report.ended_at, report.end_reason)
    ):
        report.ended_at = record.at
        report.end_reason = body["reason"]
        report.save()


def _describe(report: SessionReport, body: dict[str, Any], opened_at: datetime) -> None:
    for name in ("kind", "rep_id", "rep_name", "client_id", "client_name", "recorded"):
        setattr(report, name, body[name])
    report.opened_at = opened_at
    report.save()


def _first_taken_up(report: SessionReport) -> tuple[str, str, int] | None:
    """The key of the record that describes a session whose opening is not known (yet): the opening itself says more."""
    if SessionEvent.objects.filter(report=report, event="opened").exists():
        return None
    first = SessionEvent.objects.filter(report=report, event="taken-up").first()
    return None if first is None else (first.origin, first.incarnation, first.sequence)


def _add_segment(report: SessionReport, record: Record) -> None:
    body: dict[str, Any] = record.body
    segment, new = SessionSegment.objects.get_or_create(
        report=report, sha256=body["sha256"], defaults={"size": body["size"], "sealed_at": record.at}
    )
    if not new and record.at < segment.sealed_at:
        segment.sealed_at = record.at
        segment.save(update_fields=["sealed_at"])
