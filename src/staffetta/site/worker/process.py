"""The worker process: idle in standby, jobs on a plain schedule while its generation is active."""

import asyncio
from collections.abc import Sequence
from functools import partial

from staffetta.control.child import KeeperChannel, KeptSocket
from staffetta.control.paths import ProcessEnvironment
from staffetta.kernel.clock import utc_now
from staffetta.kernel.log import bound, get_logger
from staffetta.kernel.settings import load_section
from staffetta.site.data.database import in_database
from staffetta.site.processes.child import check_database, obey
from staffetta.site.worker.jobs import Job, jobs
from staffetta.site.worker.settings import WorkerSettings

_log = get_logger(__name__)


class Worker:
    """Keeper's orders to the worker. Exactly one generation is active, so no job ever runs twice at a time."""

    def __init__(self, schedule: Sequence[Job]) -> None:
        self._schedule = schedule
        self._running: set[asyncio.Task[None]] = set()

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        """Begin the jobs."""
        if not self._running:
            loop = asyncio.get_running_loop()
            self._running = {loop.create_task(self._again_and_again(job), name=job.name) for job in self._schedule}

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        """None are for the worker."""

    async def deactivate(self) -> None:
        """Stop the jobs; what one of them is doing in the database is finished first."""
        running, self._running = self._running, set()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def drain(self, seconds: float) -> None:
        """Nothing is established here."""
        await self.deactivate()

    @staticmethod
    async def _again_and_again(job: Job) -> None:
        with bound(job=job.name):
            while True:
                work = asyncio.ensure_future(in_database(partial(job.work, utc_now())))
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError:
                    await asyncio.wait({work})
                    raise
                except Exception:  # noqa: BLE001 - one failure must not end the schedule
                    _log.exception("a job failed; it runs again at its time")
                await asyncio.sleep(job.every_seconds)


async def serve_worker(environment: ProcessEnvironment, channel: KeeperChannel, leave: asyncio.Event) -> None:
    """Run the worker until ``leave`` is set."""
    await in_database(check_database)
    worker = Worker(jobs(load_section(WorkerSettings, environment.paths.settings, "worker")))
    try:
        await obey(channel, worker, leave)
    finally:
        await worker.deactivate()
