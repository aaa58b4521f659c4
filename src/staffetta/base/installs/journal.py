"""The install journal as base's active generation holds it: jobs read from it, and the only way to write to it.

One process holds it at a time; a base that takes over waits until the one before has let go (or is dead).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from staffetta.base.errors import Moving
from staffetta.base.installs.record import JobRecord, Told, apply, job_entry, replay, tell
from staffetta.kernel.journal import Gate, Journal, JournalHeld, read_journal

JOURNAL_NAME: Final = "installs.jsonl"
WAIT_SECONDS: Final = 0.05


class InstallJournal:
    """Jobs and what was told of them. Readable from the start; writable between `take` and `let_go`."""

    def __init__(self, directory: Path, gate: Gate | None = None) -> None:
        self._path = directory / JOURNAL_NAME
        self._gate = gate
        self._journal: Journal | None = None
        # A thread of its own, made at the first append: work that fills the loop's threads must not hold up a job.
        self._writer = ThreadPoolExecutor(1, "install-journal")
        self._append: asyncio.Future[Any] | None = None
        self.jobs: dict[str, JobRecord] = {}
        self.told: tuple[Told, ...] = ()

    @property
    def is_held(self) -> bool:
        return self._journal is not None

    def read(self) -> None:
        """Read what the journal says now, without holding it. Raises JournalDamaged."""
        if self._journal is None:
            self.jobs, self.told = replay(read_journal(self._path))

    async def take(self) -> None:
        """Hold the journal, waiting for as long as another process has it."""
        while self._journal is None:
            try:
                journal = Journal(self._path, self._gate)
            except JournalHeld:
                await asyncio.sleep(WAIT_SECONDS)
                continue
            self.jobs, self.told = replay(journal.entries)
            self._journal = journal

    async def let_go(self) -> None:
        """Let go once an append under way is on the disk."""
        if self._append is not None:
            await asyncio.wait({self._append})
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    @property
    def under_way(self) -> JobRecord | None:
        """The job that is not over, if there is one."""
        return next((job for job in self.jobs.values() if not job.is_over), None)

    async def begin(self, job: JobRecord) -> JobRecord:
        """Write a new job. The caller has made sure that none is under way."""
        return await self._write(None, job_entry(job))

    async def write(self, job: JobRecord, entry: dict[str, Any]) -> JobRecord:
        """Write an entry of a job; returns the job after it."""
        return await self._write(job, entry)

    async def _write(self, job: JobRecord | None, data: dict[str, Any]) -> JobRecord:
        if self._journal is None:
            raise Moving("This base does not hold the install journal; try again in a moment.")
        after = apply(job, data)
        # In a thread: a crash test's gate may hold the append, and keeper must be answered meanwhile. Shielded: an
        # append that has begun is finished even if the runner is told to stop.
        self._append = asyncio.get_running_loop().run_in_executor(self._writer, self._journal.append, data)
        entry = await asyncio.shield(self._append)
        self.jobs[after.id] = after
        self.told = (*self.told, tell(entry, after))
        return after
