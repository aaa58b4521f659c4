"""Reading reports: the list of sessions, and one session's story with what can be counted in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.utils.translation import gettext as _

from staffetta.site.support.errors import SessionUnknown
from staffetta.site.support.models import SessionEvent, SessionReport, SessionSegment


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One thing that happened: ``opened``, ``taken-up``, ``attached``, ``detached`` or ``ended``."""

    at: datetime
    event: str
    end: str
    counter: int | None
    generation: str
    version: str
    pause_ms: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session as the list shows it. ``attaches`` counts those of both ends; ``recorded_bytes`` what is sealed."""

    id: str
    kind: str
    rep_id: str
    rep_name: str
    client_id: str
    client_name: str
    recorded: bool
    opened_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    attaches: int
    longest_pause_ms: int | None
    segments: int
    recorded_bytes: int

    @property
    def length(self) -> timedelta | None:
        """How long it lasted, when it has ended."""
        if self.opened_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.opened_at


@dataclass(frozen=True, slots=True)
class SessionStory:
    """A session with all that happened in it. ``generations`` are those that served it, in order of appearance."""

    summary: SessionSummary
    events: tuple[StoryEvent, ...]
    generations: tuple[str, ...]
    counters: Mapping[str, int]

    @property
    def resumes(self) -> int:
        """How often an end attached again."""
        ends = [event.end for event in self.events if event.event == "attached"]
        return len(ends) - len(set(ends))


def list_sessions(search: str = "", *, offset: int = 0, limit: int | None = None) -> tuple[SessionSummary, ...]:
    """Return sessions, newest first; ``search`` matches part of the rep's or client's name, or begins the id."""
    end = None if limit is None else offset + limit
    return tuple(_summary(row) for row in _counted(_matching(search)).order_by("-opened_at", "id")[offset:end])


def count_sessions(search: str = "") -> int:
    """Return how many sessions ``list_sessions`` would find in all."""
    return _matching(search).count()


def list_stories(search: str = "") -> Iterator[SessionStory]:
    """Yield sessions with their stories, newest first, for exports."""
    rows = _counted(_matching(search)).order_by("-opened_at", "id")
    rows = rows.prefetch_related(Prefetch("events", SessionEvent.objects.all()))
    for row in rows.iterator(chunk_size=200):
        yield _story(row)


def story(session_id: str) -> SessionStory:
    """Return one session's story. Raises ``SessionUnknown``."""
    row = _counted(SessionReport.objects.filter(pk=session_id)).first()
    if row is None:
        raise SessionUnknown(_("There is no report of such a session."))
    return _story(row)


def _matching(search: str) -> "QuerySet[SessionReport]":
    words = search.strip()
    if not words:
        return SessionReport.objects.all()
    return SessionReport.objects.filter(
        Q(rep_name__icontains=words) | Q(client_name__icontains=words) | Q(pk__startswith=words)
    )


def _counted(rows: "QuerySet[SessionReport]") -> "QuerySet[SessionReport]":
    """Add the counts: of attaches and the longest pause from the events, of segments by subselects of their own."""
    sealed = SessionSegment.objects.filter(report=OuterRef("pk")).order_by().values("report")
    return rows.annotate(
        attach_count=Count("events", filter=Q(events__event="attached")),
        longest=Max("events__pause_ms"),
        sealed_count=Subquery(sealed.annotate(found=Count("pk")).values("found")),
        sealed_size=Subquery(sealed.annotate(found=Sum("size")).values("found")),
    )


def _summary(row: Any) -> SessionSummary:
    """From a row of ``_counted`` (untyped: annotations are not attributes of the model)."""
    return SessionSummary(
        id=row.pk,
        kind=row.kind,
        rep_id=row.rep_id,
        rep_name=row.rep_name,
        client_id=row.client_id,
        client_name=row.client_name,
        recorded=row.recorded,
        opened_at=row.opened_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        attaches=row.attach_count,
        longest_pause_ms=row.longest,
        segments=row.sealed_count or 0,
        recorded_bytes=row.sealed_size or 0,
    )


def _story(row: SessionReport) -> SessionStory:
    told = tuple(
        StoryEvent(one.at, one.event, one.end, one.counter, one.generation, one.version, one.pause_ms, one.reason)
        for one in row.events.all()
    )
    counters: dict[str, int] = {}
    for one in told:
        if one.event == "attached" and one.counter is not None:
            counters[one.end] = max(one.counter, counters.get(one.end, 0))
    generations = tuple(dict.fromkeys(one.generation for one in told if one.generation))
    return SessionStory(_summary(row), told, generations, counters)
