"""Reading reports: the list of sessions, and one session's story with what can be counted in it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.db.models import Count, Max, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.utils.translation import gettext as _

from staffetta.site.support.errors import SessionUnknown
from staffetta.site.support.models import SessionEvent, SessionReport, SessionSegment, SessionTransfer
from staffetta.site.support.pauses import Cause, Place, cause_of
from staffetta.site.support.wanted import Wanted

AT_ONCE: Final = 200
"""Sessions whose events are read in one question."""


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
    """One thing that happened: ``opened``, ``taken-up``, ``attached``, ``detached``, ``transferred`` or ``ended``.

    ``counter`` is the end's own, which it raises with every attempt, so it jumps where some failed; ``attach`` counts
    its attaches from 1. ``cause``: why an end attached again; None at its first attach. ``repeats``: the other end has
    told the same of this transfer already.
    """

    at: datetime
    event: str
    end: str
    counter: int | None
    generation: str
    version: str
    pause_ms: int | None
    reason: str
    transfer: ToldTransfer | None = None
    cause: Cause | None = None
    repeats: bool = False
    attach: int | None = None


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
    def resumes_by_end(self) -> Mapping[str, int]:
        """How often each end attached again, however that came about. The console's own count is that of the console:
        how often it saw another connection take over."""
        ends = [event.end for event in self.events if event.event == "attached"]
        return {end: ends.count(end) - 1 for end in ("console", "jump-client") if end in ends}

    @property
    def resumes(self) -> int:
        """How often an end attached again, both ends together: twice when both go over to another place."""
        return sum(self.resumes_by_end.values())

    @property
    def transfers(self) -> tuple[StoryTransfer, ...]:
        """Every transfer of a file once, in the order in which the ends told of it."""
        told: dict[int, dict[str, StoryEvent]] = {}
        for event in self.events:
            if event.transfer is not None:
                told.setdefault(event.transfer.channel, {}).setdefault(event.end, event)
        return tuple(_joined(words) for words in told.values())


def list_sessions(
    wanted: Wanted | None = None, *, offset: int = 0, limit: int | None = None
) -> tuple[SessionSummary, ...]:
    """Return the sessions that match, newest first."""
    end = None if limit is None else offset + limit
    return tuple(_summary(row) for row in _in_full(_matching(wanted)[offset:end].iterator(), _counted))


def count_sessions(wanted: Wanted | None = None) -> int:
    """Return how many sessions ``list_sessions`` would find in all."""
    return SessionReport.objects.filter((wanted or Wanted()).matching()).count()


def each_session(wanted: Wanted | None = None) -> Iterator[SessionSummary]:
    """Yield the sessions that match, newest first, however many there are."""
    return (_summary(row) for row in _in_full(_matching(wanted).iterator(), _counted))


def list_stories(wanted: Wanted | None = None) -> Iterator[SessionStory]:
    """Yield the sessions that match with their stories, newest first, for exports."""
    return (_story(row) for row in _in_full(_matching(wanted).iterator(), _with_events))


def story(session_id: str) -> SessionStory:
    """Return one session's story. Raises ``SessionUnknown``."""
    row = _counted(SessionReport.objects.filter(pk=session_id)).first()
    if row is None:
        raise SessionUnknown(_("There is no report of such a session."))
    return _story(row)


def _matching(wanted: Wanted | None) -> "QuerySet[SessionReport, str]":
    """The ids of the sessions that match, newest first."""
    found = SessionReport.objects.filter((wanted or Wanted()).matching())
    return found.order_by("-opened_at", "id").values_list("pk", flat=True)


def _in_full(ids: Iterable[str], more: Callable[["QuerySet[SessionReport]"], Iterable[Any]]) -> Iterator[Any]:
    """The rows of these sessions in the same order, with ``more``: what is counted is counted of few at a time."""
    left = iter(ids)
    while some := list(islice(left, AT_ONCE)):
        rows = {row.pk: row for row in more(SessionReport.objects.filter(pk__in=some))}
        yield from (rows[pk] for pk in some if pk in rows)


def _with_events(rows: "QuerySet[SessionReport]") -> "QuerySet[SessionReport]":
    return _counted(rows).prefetch_related(Prefetch("events", SessionEvent.objects.select_related("transfer")))


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
    told = tuple(_told_in_order(_events(row)))
    counters: dict[str, int] = {}
    for one in told:
        if one.event == "attached" and one.counter is not None:
            counters[one.end] = max(one.counter, counters.get(one.end, 0))
    generations = tuple(dict.fromkeys(one.generation for one in told if one.generation))
    return SessionStory(_summary(row), told, generations, counters)


def _told_in_order(events: Iterable[SessionEvent]) -> Iterator[StoryEvent]:
    """The events, with what follows from those before them: causes, and transfers that are told a second time."""
    places: dict[str, Place] = {}
    counters: dict[str, int | None] = {}
    attaches: Counter[str] = Counter()
    gone: set[str] = set()
    transfers: dict[int, ToldTransfer] = {}
    for one in events:
        cause, transfer, repeats = None, _told(getattr(one, "transfer", None)), False
        if one.event == "attached":
            place = Place(one.origin, one.incarnation, one.generation, one.site_version)
            if one.end in places:
                cause = cause_of(places[one.end], place, gone=one.end in gone)
            places[one.end], counters[one.end] = place, one.counter
            attaches[one.end] += 1
            gone.discard(one.end)
        elif one.event == "detached" and one.counter in (None, counters.get(one.end)):
            gone.add(one.end)  # not the place that it had left for a newer one before
        elif transfer is not None:
            known = transfers.setdefault(transfer.channel, transfer)
            repeats = known is not transfer and _same(known, transfer)
        yield StoryEvent(
            at=one.at,
            event=one.event,
            end=one.end,
            counter=one.counter,
            generation=one.generation,
            version=one.version,
            pause_ms=one.pause_ms,
            reason=one.reason,
            transfer=transfer,
            cause=cause,
            repeats=repeats,
            attach=attaches[one.end] if one.event == "attached" else None,
        )


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
