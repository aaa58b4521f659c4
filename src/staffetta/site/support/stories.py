"""Reading reports: the list of sessions, and one session's story with what can be counted in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.utils.translation import gettext as _

from staffetta.site.support.errors import SessionUnknown
from staffetta.site.support.models import SessionEvent, SessionReport, SessionSegment, SessionTransfer


@dataclass(frozen=True, slots=True)
class ToldTransfer:
    """What one end says of a transfer of a file. ``outcome`` is "stored" or the code of what went wrong."""

    channel: int
    direction: str
    name: str
    path: str
    size: int | None
    sha256: str
    outcome: str


@dataclass(frozen=True, slots=True)
class StoryTransfer:
    """A transfer of a file as the end that stores it tells it, or else the other. ``ends``: who says the same."""

    at: datetime
    told: ToldTransfer
    ends: tuple[str, ...]
    disputed: bool


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One thing that happened: ``opened``, ``taken-up``, ``attached``, ``detached``, ``transferred`` or ``ended``."""

    at: datetime
    event: str
    end: str
    counter: int | None
    generation: str
    version: str
    pause_ms: int | None
    reason: str
    transfer: ToldTransfer | None = None


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

    @property
    def transfers(self) -> tuple[StoryTransfer, ...]:
        """Every transfer of a file once, in the order in which the ends told of it."""
        told: dict[int, dict[str, StoryEvent]] = {}
        for event in self.events:
            if event.transfer is not None:
                told.setdefault(event.transfer.channel, {}).setdefault(event.end, event)
        return tuple(_joined(words) for words in told.values())


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
    rows = rows.prefetch_related(Prefetch("events", SessionEvent.objects.select_related("transfer")))
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
        StoryEvent(
            one.at,
            one.event,
            one.end,
            one.counter,
            one.generation,
            one.version,
            one.pause_ms,
            one.reason,
            _told(getattr(one, "transfer", None)),
        )
        for one in _events(row)
    )
    counters: dict[str, int] = {}
    for one in told:
        if one.event == "attached" and one.counter is not None:
            counters[one.end] = max(one.counter, counters.get(one.end, 0))
    generations = tuple(dict.fromkeys(one.generation for one in told if one.generation))
    return SessionStory(_summary(row), told, generations, counters)


def _events(row: SessionReport) -> "QuerySet[SessionEvent]":
    """The events with their transfers: as they were fetched for many rows at once, or now in one question."""
    fetched = "events" in getattr(row, "_prefetched_objects_cache", {})
    return row.events.all() if fetched else row.events.select_related("transfer")


def _told(row: SessionTransfer | None) -> ToldTransfer | None:
    if row is None:
        return None
    return ToldTransfer(row.channel, row.direction, row.name, row.path, row.size, row.sha256, row.outcome)


def _joined(words: Mapping[str, StoryEvent]) -> StoryTransfer:
    """One transfer from what the ends say of it, by end."""
    any_word = next(iter(words.values())).transfer
    assert any_word is not None
    storing = "jump-client" if any_word.direction == "send" else "console"
    chosen = words.get(storing) or next(iter(words.values()))
    assert chosen.transfer is not None
    same = tuple(end for end, event in words.items() if event.transfer and _same(event.transfer, chosen.transfer))
    return StoryTransfer(chosen.at, chosen.transfer, same, disputed=len(same) < len(words))


def _same(one: ToldTransfer, other: ToldTransfer) -> bool:
    """Whether two ends agree: on how it ended and, if it was stored, on every byte."""
    return one.outcome == other.outcome and (one.outcome != "stored" or one.sha256 == other.sha256)
