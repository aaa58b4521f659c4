"""What a client's journal of updates means, and what is to be done at a start. Pure: entries in, decisions out.

Each entry has a ``step``, a ``version`` and a time ``at``:

    fetch    the version's bundle is being fetched
    staged   it was verified, unpacked and started once for a trial
    flip     ``current`` is about to lead to it, from ``previous``: from now on it must prove itself
    started  it has started (counted: a version that dies again and again is gone back from)
    proven   it has reached the site; the update is over
    back     it has not: ``current`` is about to lead to ``previous`` again, because of ``why``
    failed   it did not get as far as ``flip``, because of ``why``

So wherever a client is killed, the next start finds in the last of ``flip``, ``started``, ``back`` what to finish.
Only the standard library may be needed here: this must work when a release is broken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

MOST_STARTS: Final = 3
"""A version that has been started this often and has not reached the site is not started again."""
NOT_AGAIN_FOR: Final = timedelta(days=1)
ENTRIES_KEPT: Final = 400
"""A longer journal is begun anew when nothing is under way."""
RETRY_SECONDS: Final = 10.0
LONGEST_RETRY_SECONDS: Final = 300.0
"""A question without an answer is asked again after the first, and after twice as long each time, up to the second."""
TURN_SECONDS: Final = 3600.0
"""A site that asks to be asked again sooner than this has no place for an update just now: a turn is waited for."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An update that is past its flip and not proven: to which version, from which, how often it was started."""

    version: str
    previous: str
    starts: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The version that was last given up, when (as written) and why."""

    version: str
    at: str
    why: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What a journal says. ``back`` is a return that may not be finished; ``staged`` is whole on the disk and was
    tried; ``updated_at`` is when ``version`` was proven, ``previous`` the version before it.
    """

    pending: Pending | None = None
    back: Pending | None = None
    failed: Failed | None = None
    fetching: str | None = None
    staged: str | None = None
    version: str | None = None
    previous: str | None = None
    updated_at: str | None = None


class AtStart(StrEnum):
    """What to do before anything else of a release is run."""

    GO_ON = "go on"  # nothing is under way
    COUNT = "count"  # this is the new version: note the start, then prove it
    FLIP = "flip"  # finish what was begun: ``current`` to the new version, and run that
    BACK = "back"  # give the new version up
    RESUME_BACK = "resume back"  # finish going back
    RUN_CURRENT = "run current"  # another release than ``current`` was started


def read(entries: Iterable[Mapping[str, Any]]) -> Progress:
    """Return what a journal's entries come to. Steps that are not known here change nothing."""
    progress = Progress()
    for entry in entries:
        progress = _after(progress, entry)
    return progress


def _after(progress: Progress, entry: Mapping[str, Any]) -> Progress:
    version, at = str(entry.get("version", "")), str(entry.get("at", ""))
    match entry.get("step"):
        case "fetch":
            return replace(progress, fetching=version, staged=None)
        case "staged":
            return replace(progress, fetching=None, staged=version)
        case "flip":
            return replace(progress, pending=Pending(version, str(entry.get("previous", "")), 0), back=None)
        case "started" if progress.pending is not None:
            return replace(progress, pending=replace(progress.pending, starts=progress.pending.starts + 1))
        case "proven":
            return Progress(version=version, previous=str(entry.get("previous", "")), updated_at=at)
        case "back":
            failed = Failed(version, at, str(entry.get("why", "")))
            return replace(progress, pending=None, back=progress.pending or progress.back, failed=failed, staged=None)
        case "failed":
            failed = Failed(version, at, str(entry.get("why", "")))
            return replace(progress, failed=failed, fetching=None, staged=None)
        case _:
            return progress


def kept(progress: Progress) -> list[dict[str, Any]]:
    """Return entries that say the same as a long journal in which nothing is under way."""
    entries: list[dict[str, Any]] = []
    if progress.version is not None:
        entries.append(
            {
                "step": "proven",
                "version": progress.version,
                "previous": progress.previous or "",
                "at": progress.updated_at,
            }
        )
    if (failed := progress.failed) is not None:
        entries.append({"step": "failed", "version": failed.version, "at": failed.at, "why": failed.why})
    return entries


def at_start(progress: Progress, running: str, current: str, on_disk: frozenset[str]) -> AtStart:
    """Return what to do when the release ``running`` was started while ``current`` leads where it does."""
    if progress.back is not None and current == progress.back.version and progress.back.previous in on_disk:
        return AtStart.RESUME_BACK
    pending = progress.pending
    if pending is None:
        return AtStart.GO_ON
    if running == pending.version:
        over = pending.starts >= MOST_STARTS and pending.previous in on_disk
        return AtStart.BACK if over else AtStart.COUNT
    if pending.version not in on_disk or pending.starts >= MOST_STARTS:
        return AtStart.BACK
    return AtStart.RUN_CURRENT if current == pending.version else AtStart.FLIP


def unwanted(progress: Progress, now: datetime) -> str:
    """Return the version that failed less than a day ago, or an empty text. A time that cannot be read is now."""
    if progress.failed is None:
        return ""
    try:
        age = now - datetime.fromisoformat(progress.failed.at)
    except (ValueError, TypeError):
        return progress.failed.version
    return progress.failed.version if abs(age) < NOT_AGAIN_FOR else ""


def details(progress: Progress, running: str, waiting: str) -> dict[str, str]:
    """Return what the site is told of updates: when the running one came, which one waits, which one failed."""
    told: dict[str, str] = {}
    if progress.version == running and progress.updated_at:
        told["updated_at"] = progress.updated_at
    if waiting:
        told["update_waiting"] = waiting
    if (failed := progress.failed) is not None:
        told |= {
            "update_failed": failed.version[:64],
            "update_failed_at": failed.at[:64],
            "update_failed_why": failed.why[:500],
        }
    return told


def retry_after(failures: int, jitter: float) -> float:
    """Return in how many seconds to try again what has failed so often in a row (at least once).

    From half to the whole of the step: ``jitter``, within [0, 1), spreads a fleet that was refused together.
    """
    return min(RETRY_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_RETRY_SECONDS) * (1.0 - 0.5 * jitter)


def question_after(retry: float, every: float) -> float:
    """Return in how many seconds a passive client asks the update question again, if it does not check in before.

    ``retry`` is what the site said. Between two check-ins only a client that waits for its turn to update asks.
    """
    return retry if retry < TURN_SECONDS else every
