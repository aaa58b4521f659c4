"""The live side of install jobs: events for whoever watches, made from the journal, plus bytes as they come.

What is journalled has a sequence and can be asked for again, from any generation of base; bytes are not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from staffetta.base.errors import UnknownName
from staffetta.base.installs.journal import InstallJournal
from staffetta.base.installs.record import JobRecord, Told, sentence
from staffetta.base.installs.states import InstallState
from staffetta.control.appliance import EventKind, InstallEvent, Job, JobState

QUIET_SECONDS: Final = 5.0
"""After so long with nothing to say, a watcher gets None, so that a dead connection is noticed."""

_STATES: Final = {
    InstallState.UNDO: JobState.UNDOING,
    InstallState.COMMITTED: JobState.COMMITTED,
    InstallState.UNDONE: JobState.UNDONE,
}


class JobFeed:
    """What can be seen of jobs, now and as it changes."""

    def __init__(self, journal: InstallJournal) -> None:
        self._journal = journal
        self._changed = asyncio.Event()
        self._bytes: tuple[str, int, int] | None = None
        self._trouble: tuple[str, str] | None = None
        self._moved = False

    def changed(self) -> None:
        """Wake every watcher: the journal has grown."""
        self._bytes = None
        self._trouble = None
        self._wake()

    def bytes(self, job: str, done: int, total: int) -> None:
        """Note how far the step under way is."""
        self._bytes = (job, done, total)
        self._wake()

    def trouble(self, job: str, text: str) -> None:
        """Note why the step under way is being tried again."""
        self._trouble = (job, text)
        self._wake()

    def move(self) -> None:
        """End every stream with `moved`: another generation of base has the journal now."""
        self._moved = True
        self._wake()

    def resume(self) -> None:
        """Serve streams (again)."""
        self._moved = False
        self.changed()

    def job(self, job: str) -> Job:
        """A job as the outside sees it. Raises UnknownName."""
        record = self._journal.jobs.get(job)
        if record is None:
            raise UnknownName(f"There is no install job {job}.")
        return self._seen(record)

    def jobs(self) -> tuple[Job, ...]:
        """Every job, newest first."""
        return tuple(self._seen(record) for record in reversed(self._journal.jobs.values()))

    async def watch(self, job: str, after: int) -> AsyncIterator[InstallEvent | None]:
        """Events of a job after a sequence, until it ends or moves; None when nothing happened for a while."""
        self.job(job)
        last, shown = after, None
        while True:
            changed = self._changed
            for told in self._journal.told:
                if told.job == job and told.sequence > last:
                    last = told.sequence
                    yield _event(told)
            if self._journal.jobs[job].is_over:
                # The end may lie before `after`: say it again, so that no watcher waits for ever.
                final = [told for told in self._journal.told if told.job == job][-1]
                if final.sequence <= after:
                    yield _event(final)
                return
            if self._moved:
                yield InstallEvent(None, EventKind.MOVED, self._journal.jobs[job].state.value, "Base is moving.")
                return
            progress = self._progress(job)
            if progress is not None and progress != shown:
                shown = progress
                yield progress
            try:
                await asyncio.wait_for(changed.wait(), QUIET_SECONDS)
            except TimeoutError:
                yield None

    def _progress(self, job: str) -> InstallEvent | None:
        step = self._journal.jobs[job].state.value
        if self._trouble is not None and self._trouble[0] == job:
            return InstallEvent(None, EventKind.PROGRESS, step, self._trouble[1], state=JobState.RUNNING)
        if self._bytes is not None and self._bytes[0] == job:
            done, total = self._bytes[1:]
            return InstallEvent(None, EventKind.PROGRESS, step, "", done, total, JobState.RUNNING)
        return None

    def _seen(self, record: JobRecord) -> Job:
        mine = self._bytes if self._bytes is not None and self._bytes[0] == record.id else None
        trouble = self._trouble[1] if self._trouble is not None and self._trouble[0] == record.id else None
        return Job(
            id=record.id,
            kind=record.program.value,
            version=str(record.version),
            state=_STATES.get(record.state, JobState.RUNNING),
            step=record.state.value,
            started=record.started,
            ended=record.ended,
            error=record.reason if record.state in (InstallState.UNDO, InstallState.UNDONE) else None,
            bytes_done=None if mine is None else mine[1],
            bytes_total=None if mine is None else mine[2],
            text=trouble or sentence(record),
            actor=record.actor,
            previous=None if record.previous is None else str(record.previous),
        )

    def _wake(self) -> None:
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()


def _event(told: Told) -> InstallEvent:
    state = _STATES.get(told.state, JobState.RUNNING)
    kind = EventKind.ENDED if state.ended else EventKind.STEP
    return InstallEvent(told.sequence, kind, told.state.value, told.text, state=state, time=told.time)
