"""Session reports for programs: the same facts as the pages, as JSON and as CSV."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import format_time
from staffetta.site.data import csv_lines
from staffetta.site.support.stories import SessionStory, SessionSummary, StoryEvent, StoryTransfer, ToldTransfer

COLUMNS: Final = (
    "id",
    "kind",
    "rep_id",
    "rep_name",
    "client_id",
    "client_name",
    "opened_at",
    "ended_at",
    "end_reason",
    "recorded",
    "recorded_bytes",
    "segments",
    "attaches",
    "longest_pause_ms",
)


def story_json(story: SessionStory) -> dict[str, Any]:
    """Return a session as a JSON object: facts, generations, counters, transfers, story. Times are RFC 3339 in UTC."""
    one = story.summary
    return {
        "id": one.id,
        "kind": one.kind,
        "rep": {"id": one.rep_id, "name": one.rep_name},
        "client": {"id": one.client_id, "name": one.client_name},
        "opened": _time(one.opened_at),
        "ended": _time(one.ended_at),
        "end_reason": one.end_reason or None,
        "recorded": one.recorded,
        "segments": one.segments,
        "recorded_bytes": one.recorded_bytes,
        "attaches": one.attaches,
        "resumes": story.resumes,
        "resumes_by_end": dict(story.resumes_by_end),
        "longest_pause_ms": one.longest_pause_ms,
        "generations": list(story.generations),
        "counters": dict(story.counters),
        "transfers": [_transfer_json(transfer) for transfer in story.transfers],
        "story": [_event_json(event) for event in story.events],
    }


def json_pieces(told: Iterable[SessionStory]) -> Iterator[bytes]:
    """Yield sessions as one JSON object, ``{"sessions": [...]}``, session by session."""
    yield b'{"sessions": ['
    for number, story in enumerate(told):
        yield (b", " if number else b"") + json.dumps(story_json(story)).encode()
    yield b"]}"


def csv_pieces(summaries: Iterable[SessionSummary]) -> Iterator[bytes]:
    """Yield the list as CSV with a heading, row by row."""
    yield csv_lines.line(COLUMNS)
    for one in summaries:
        yield csv_lines.line(getattr(one, column) for column in COLUMNS)


def _event_json(event: StoryEvent) -> dict[str, Any]:
    told: dict[str, Any] = {"at": _time(event.at), "event": event.event}
    if event.end:
        told["end"] = event.end
    if event.event == "attached":
        told |= {
            "counter": event.counter,
            "generation": event.generation,
            "version": event.version,
            "pause_ms": event.pause_ms,
            "cause": event.cause,
        }
    if event.event == "detached":
        told["counter"] = event.counter
    if event.transfer is not None:
        told |= _told_json(event.transfer)
    if event.reason:
        told["reason"] = event.reason
    return told


def _transfer_json(transfer: StoryTransfer) -> dict[str, Any]:
    ends = {"told_by": list(transfer.ends), "disputed": transfer.disputed}
    return {"at": _time(transfer.at), **_told_json(transfer.told), **ends}


def _told_json(told: ToldTransfer) -> dict[str, Any]:
    return {
        "channel": told.channel,
        "direction": told.direction,
        "name": told.name,
        "path": told.path or None,
        "size": told.size,
        "sha256": told.sha256 or None,
        "outcome": told.outcome,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
