"""The runner of install jobs: looks, asks the plan, does one thing, writes it down; the only one who acts.

It runs in base's active generation, which holds the journal. Told to let go it finishes the write under way and
nothing else: the next holder goes on from what is written and what it sees.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from staffetta.base.errors import InstallRefused, JobUnderWay, Moving, NotYet, RunnerEnded, StepFailed
from staffetta.base.installs.feed import JobFeed
from staffetta.base.installs.journal import InstallJournal
from staffetta.base.installs.plan import CLOSING, NOT_LIVING, Act, Advance, Effect, Facts, Limits, Wait, plan
from staffetta.base.installs.record import JobRecord, attempt_entry, sentence, step_entry
from staffetta.base.installs.states import InstallEvent, InstallState
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import NoSpace, StaffettaError
from staffetta.kernel.ids import new_id
from staffetta.kernel.journal import JournalDamaged
from staffetta.kernel.log import bound, get_logger
from staffetta.packages import Kind, PackageInfo, Version

_log = get_logger(__name__)

Progress = Callable[[int, int], None]
"""Bytes done and bytes in all; may be called from any thread."""

_KEEPS_TRYING: Final = frozenset({InstallState.FLIP, InstallState.COMMIT, InstallState.PRUNE, InstallState.UNDO})
"""Steps whose effect is tried again when it cannot be done: there is nothing to go back to from them."""

_REPEATS: Final = 5
"""An effect that was done so often in a row and still does not show counts as one that cannot be done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an effect found out."""

    package: PackageInfo | None = None
    proved: str | None = None


class Steps(Protocol):
    """The hands and eyes of the runner (`steps.py`)."""

    async def facts(self, job: JobRecord) -> Facts: ...

    async def do(self, effect: Effect, job: JobRecord, generation: str | None, progress: Progress) -> Outcome: ...


Follow = Callable[[JobRecord], Awaitable["Wanted | None"]]
"""Asked when nothing is under way: what follows the last job by itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked to install, already checked against the offers."""

    program: Kind
    target: str
    version: Version
    previous: Version | None
    actor: str
    bundle: str | None = None


class Installs:
    """Install jobs of this appliance: begins, runs and shows them."""

    def __init__(
        self,
        journal: InstallJournal,
        steps: Steps,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = utc_now,
        follow: Follow | None = None,
    ) -> None:
        self.journal = journal
        self._steps = steps
        self._follow = follow
        self._limits = limits or Limits()
        self._clock = clock
        self._runner: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._beginning = asyncio.Lock()
        self.feed = JobFeed(journal)

    @property
    def has_died(self) -> bool:
        """Whether the runner ended without being told to; the process is of no use then."""
        return self._runner is not None and self._runner.done()

    @property
    def under_way(self) -> JobRecord | None:
        return self.journal.under_way

    def take_over(self) -> None:
        """Hold the journal as soon as it is free, and run what is under way. Returns at once."""
        if self._runner is None:
            with contextlib.suppress(JournalDamaged):  # the runner meets it again and is noted to have died of it
                self.journal.read()
            self.feed.resume()
            self._runner = asyncio.get_running_loop().create_task(self._run())
            self._runner.add_done_callback(_note_death)

    async def let_go(self) -> None:
        """Stop acting, end the streams with `moved`, and let go of the journal."""
        self.feed.move()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            runner.cancel()
            await asyncio.wait({runner})
        await self.journal.let_go()

    def require_free(self) -> None:
        """Raise Moving, JobUnderWay or RunnerEnded unless a job could begin now."""
        if self.has_died:
            raise RunnerEnded(
                "Install jobs cannot be run: the install journal is damaged or an unexpected error was met (see base's "
                "log). Make a support bundle and call support."
            )
        if not self.journal.is_held:
            raise Moving("Base is just taking over from its former version; try again in a moment.")
        if self.journal.under_way is not None:
            raise JobUnderWay(
                f"{self.journal.under_way.label} is being installed; one package is installed at a time. "
                "Wait until it is done."
            )

    async def begin(self, wanted: Wanted) -> str:
        """Write a new job and start it; returns its id.

        Raises JobUnderWay while another is not over, InstallRefused for a licence add-on, Moving while this base
        does not hold the journal.
        """
        if wanted.program not in (Kind.BASE, Kind.SITE):
            raise InstallRefused(
                f"{wanted.target} is a {wanted.program} add-on; this version of base lists those but cannot install "
                "them yet. Update base first."
            )
        async with self._beginning:
            self.require_free()
            job = JobRecord(
                id=new_id("job"),
                program=wanted.program,
                target=wanted.target,
                version=wanted.version,
                previous=wanted.previous,
                actor=wanted.actor,
                started=self._clock(),
                bundle=wanted.bundle,
            )
            try:
                job = await self.journal.begin(job)
            except OSError as error:
                raise NoSpace(
                    f"The install journal cannot be written ({error.strerror}); make room on the disk."
                ) from error
        self._told(job)
        self._woken.set()
        return job.id

    async def _run(self) -> None:
        await self.journal.take()
        self.feed.changed()
        while True:
            self._woken.clear()
            job = self.journal.under_way
            if job is None:
                if not await self._follow_on():
                    await self._woken.wait()
                continue
            with bound(job=job.id):
                _log.info("going on with %s: %s", job.label, sentence(job))
                await self._work(job)

    async def _follow_on(self) -> bool:
        """Begin what follows the last job by itself, if anything does."""
        last = next(reversed(self.journal.jobs.values()), None)
        wanted = await self._follow(last) if self._follow is not None and last is not None else None
        if wanted is None:
            return False
        with contextlib.suppress(JobUnderWay):  # somebody was quicker
            await self.begin(wanted)
        return True

    async def _work(self, job: JobRecord) -> JobRecord:
        loop = asyncio.get_running_loop()
        step = job.state
        since, failures, repeats = loop.time(), 0, 0
        last: Effect | None = None
        while not job.is_over:
            if job.state is not step:
                step, since, failures, repeats, last = job.state, loop.time(), 0, 0, None
            try:
                facts = await self._steps.facts(job)
            except (StaffettaError, OSError) as error:
                self._trouble(job, f"The appliance's state cannot be seen ({error}); trying again.")
                await asyncio.sleep(self._limits.retry_seconds)
                continue
            seen = _with(facts, waited=loop.time() - since, failures=failures)
            match plan(job, seen, self._limits):
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Advance(event, reason):
                    job = await self._advance(job, event, reason=reason)
                case Act(effect, generation):
                    repeats = repeats + 1 if effect is last else 0
                    last = effect
                    try:
                        if repeats >= _REPEATS:
                            raise StepFailed(f"The step {effect} was done {repeats} times and did not take effect.")
                        if repeats:
                            await asyncio.sleep(self._limits.poll_seconds)
                        if effect is Effect.START:
                            job = await self._write(job, attempt_entry(job, _ended(facts, job), self._clock()))
                        outcome = await self._do(effect, job, generation)
                    except NotYet:
                        repeats = 0
                        await asyncio.sleep(self._limits.poll_seconds)
                        continue
                    except StepFailed as error:
                        if job.state in _KEEPS_TRYING:
                            failures += 1
                            repeats = 0
                            self._trouble(job, f"{error.message} Trying again.")
                            await asyncio.sleep(self._limits.retry_seconds)
                        else:
                            job = await self._advance(job, InstallEvent.FAILED, reason=error.message)
                        continue
                    if effect in CLOSING:
                        job = await self._advance(
                            job, InstallEvent.DONE, package=outcome.package, proved=outcome.proved
                        )
        return job

    async def _do(self, effect: Effect, job: JobRecord, generation: str | None) -> Outcome:
        """Do one thing; whatever goes wrong comes out as StepFailed with the sentence to show, or as NotYet."""
        _log.info("doing %s", effect, extra={"step": job.state.value, "of": generation})
        try:
            return await self._steps.do(effect, job, generation, self._progress(job.id))
        except NotYet:
            raise
        except StaffettaError as error:
            raise StepFailed(error.message) from error
        except OSError as error:
            raise StepFailed(f"The disk or a local socket answered: {error.strerror or error}.") from error
        except Exception as error:
            # Nothing known leads here; still the job must end and the version that runs must stay.
            _log.exception("an unexpected error at step %s", job.state)
            raise StepFailed(f"An unexpected error ({error!r}); make a support bundle.") from error

    async def _advance(
        self,
        job: JobRecord,
        event: InstallEvent,
        *,
        package: PackageInfo | None = None,
        proved: str | None = None,
        reason: str | None = None,
    ) -> JobRecord:
        entry = step_entry(job, event, self._clock(), package=package, proved=proved, reason=reason)
        return await self._write(job, entry)

    async def _write(self, job: JobRecord, entry: dict[str, Any]) -> JobRecord:
        """Write an entry, for as long as it takes: a full disk must not leave a job that nobody runs."""
        while True:
            try:
                after = await self.journal.write(job, entry)
            except OSError as error:
                self._trouble(job, f"The install journal cannot be written ({error.strerror}); make room on the disk.")
                await asyncio.sleep(self._limits.retry_seconds)
                continue
            self._told(after)
            return after

    def _told(self, job: JobRecord) -> None:
        self.feed.changed()
        _log.info("%s", sentence(job), extra={"job": job.id, "step": job.state.value})

    def _trouble(self, job: JobRecord, text: str) -> None:
        _log.warning("%s", text)
        self.feed.trouble(job.id, text)

    def _progress(self, job: str) -> Progress:
        loop = asyncio.get_running_loop()
        shown = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal shown
            now = loop.time()
            if done < total and now - shown < _PROGRESS_SECONDS:
                return
            shown = now
            with contextlib.suppress(RuntimeError):  # the loop is gone: this generation has left meanwhile
                loop.call_soon_threadsafe(self.feed.bytes, job, done, total)

        return progress


_PROGRESS_SECONDS: Final = 0.2


def _with(facts: Facts, *, waited: float, failures: int) -> Facts:
    return Facts(
        current=facts.current,
        staged=facts.staged,
        fetched=facts.fetched,
        leftovers=facts.leftovers,
        generations=facts.generations,
        waited=waited,
        failures=failures,
    )


def _ended(facts: Facts, job: JobRecord) -> tuple[str, ...]:
    return tuple(each.id for each in facts.generations if each.version == job.version and each.state in NOT_LIVING)


def _note_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("the runner of install jobs has ended: %r", error, exc_info=error)
