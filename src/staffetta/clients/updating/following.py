"""A Jump Client that follows its site: asks which version to be, has it staged, restarts into it, proves it (C4).

Asked right after the site's version changed, when the last answer says so, and at least every day. A client that holds
sessions fetches and stages at once and restarts when they have ended; before it restarts it asks again, so that it is
counted among those that upgrade at the time. A new version that does not reach the site in time is left again, and
not tried for a day. A passive client asks when it checks in, and in between only while it waits for its turn. A disk
that takes nothing delays an update; it ends neither the client nor its sessions.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from packaging.version import InvalidVersion, Version

from staffetta.clients.errors import ClientError
from staffetta.clients.installed import UPDATE_FILE, InstalledClient, platform_facts
from staffetta.clients.runtime.network import Network
from staffetta.clients.update_question import ask
from staffetta.clients.updating import fetching, plan
from staffetta.clients.updating.fetching import VersionRefused
from staffetta.clients.updating.plan import question_after
from staffetta.clients.updating.starting import Updates
from staffetta.kernel.clock import format_time, utc_now
from staffetta.kernel.log import get_logger
from staffetta.wire.enrolment import UpdateAction, UpdateAnswer, UpdateQuestion
from staffetta.wire.vocabulary import ClientMode

FIRST_SECONDS: Final = 10.0  # a client that gets no place at the site asks all the same
SPREAD_SECONDS: Final = 2.0  # over which a fleet's questions are spread after a move
WRITE_AGAIN_SECONDS: Final = 60.0

_log = get_logger(__name__)


class Follower:
    """One client's way from version to version.

    ``updates`` is None for a client that does not run from an installed release: it asks and does not follow. ``busy``
    says whether it holds sessions, ``tell`` tells the site that ``details`` have changed.
    """

    def __init__(
        self,
        client: InstalledClient,
        network: Network,
        role: str,
        version: str,
        updates: Updates | None,
        busy: Callable[[], bool],
        tell: Callable[[], None],
    ) -> None:
        self._client = client
        self._network = network
        self._role = role
        self._version = version
        self._updates = updates
        self._busy = busy
        self._tell = tell
        self._every_seconds = client.settings.update_hours * 3600
        self._placed = asyncio.Event()
        self._ask_now = asyncio.Event()
        self._site_version: str | None = None
        self._waiting = ""
        self._between_questions = False
        self._failures = 0
        self.checks_in = client.mode is ClientMode.PASSIVE
        """Whether the client is a passive one."""
        self.leaving = False
        """Whether another release is about to run: nothing new is begun."""

    def details(self) -> dict[str, str]:
        """Return what the site is told of this client's updates."""
        if self._updates is None:
            return {}
        return plan.details(self._updates.progress, self._version, self._waiting)

    @property
    def asking(self) -> bool:
        """Whether the question is about to be asked, or its answer followed, now."""
        return not self._between_questions or self._ask_now.is_set()

    def check_in(self) -> None:
        """Ask now: a passive client has just come."""
        self._ask_now.set()

    def site_is(self, version: str) -> None:
        """The client has been let in by a gateway of this site version: ask at once if it is another than before."""
        self._placed.set()
        if self._site_version not in (None, version):
            self._ask_now.set()
        self._site_version = version

    def session_ended(self) -> None:
        """A session has ended: if it was the last one and a new version waits, it is its turn now."""
        if self._waiting and not self._busy():
            self._ask_now.set()

    async def run(self, jitter: Callable[[], float]) -> None:
        """Prove this version if it is new, then ask and follow. Returns when another release is to run."""
        if not await self._prove():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._placed.wait()
        while True:
            self._ask_now.clear()
            wait = await self._round(jitter)
            if self.leaving:
                return
            if self.checks_in:
                wait = question_after(wait, self._every_seconds)
            self._between_questions = True
            try:
                async with asyncio.timeout(min(wait, self._every_seconds) * (0.9 + 0.1 * jitter())):
                    await self._ask_now.wait()
            except TimeoutError:
                continue
            finally:
                self._between_questions = False
            if not self._waiting:
                await asyncio.sleep(SPREAD_SECONDS * jitter())

    async def _prove(self) -> bool:
        """Wait until a new version has reached the site; False when it was given up."""
        updates = self._updates
        if updates is None or (pending := updates.progress.pending) is None:
            return True
        seconds = self._client.settings.prove_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._placed.wait()
        except TimeoutError:
            if (back := updates.may_go_back()) is None:
                _log.error("this version does not reach the site, and the one before is not here any more")
                return True
            self.leaving = True
            why = f"it did not reach the site in {seconds:.0f} s"
            await _until_written(lambda: updates.go_back(back, why))
            return False
        await _until_written(lambda: updates.note("proven", pending.version, previous=pending.previous))
        self._tell()
        return True

    async def _round(self, jitter: Callable[[], float]) -> float:
        """Ask, follow the answer as far as it goes now, and return after how many seconds to ask again."""
        try:
            wait = await self._ask_and_follow(jitter)
        except OSError as error:
            self.leaving = False
            _log.error("the update cannot go on", extra={"why": str(error)})
        except ClientError as error:
            _log.warning("the site does not answer, or its new version is not here yet", extra={"why": error.message})
        else:
            self._failures = 0
            return wait
        self._failures += 1
        return plan.retry_after(self._failures, jitter())

    async def _ask_and_follow(self, jitter: Callable[[], float]) -> float:
        """The same; raises ClientError when the site does not answer in full, OSError when the disk takes nothing."""
        answer = await ask(self._network, self._question())
        self._write_down(answer)
        if self._updates is None or not self._wanted(answer):
            return float(answer.retry_seconds)
        try:
            await self._stage(self._updates, answer, jitter)
        except VersionRefused as error:
            self._updates.note("failed", answer.version, why=error.message)
            self._tell()
            return float(answer.retry_seconds)
        if self._busy():
            self._waiting = answer.version
            _log.info("update: waiting for sessions to end", extra={"version": answer.version})
            self._tell()
            return self._every_seconds
        self.leaving = True
        self._updates.flip(answer.version)
        return 0.0

    def _question(self) -> UpdateQuestion:
        system = platform_facts()["system"]
        if self._updates is None:
            # Without its id it is given no slot, which it would not use.
            return UpdateQuestion("", self._role, self._version, system)
        failed = plan.unwanted(self._updates.progress, utc_now())
        return UpdateQuestion(self._client.id, self._role, self._version, system, failed=failed[:256])

    def _wanted(self, answer: UpdateAnswer) -> bool:
        """Whether to become the version of an answer; never an older one, nor one that has just failed here."""
        assert self._updates is not None
        if answer.action is not UpdateAction.UPDATE:
            return False
        progress = self._updates.progress
        try:
            newer = Version(answer.version) > max(Version(self._version), Version(progress.version or self._version))
        except InvalidVersion:
            newer = False
        if not newer:
            _log.warning("the site names a version that is not newer", extra={"version": answer.version})
            return False
        return answer.version != plan.unwanted(progress, utc_now())

    async def _stage(self, updates: Updates, answer: UpdateAnswer, jitter: Callable[[], float]) -> None:
        """Fetch, verify, unpack and try the version, as far as that is not done already."""
        version, progress, place = answer.version, updates.progress, updates.place
        if progress.staged == version and version in place.on_disk():
            return
        if progress.fetching != version:
            updates.note("fetch", version)
        bundle = await fetching.fetch(self._network, place, answer, self._client.settings.download_seconds, jitter)
        try:
            await fetching.have_staged(place, bundle, version)
            await fetching.try_out(place, version)
        except VersionRefused:
            bundle.unlink(missing_ok=True)
            raise
        updates.note("staged", version)
        bundle.unlink(missing_ok=True)

    def _write_down(self, answer: UpdateAnswer) -> None:
        _log.info(
            "update question answered",
            extra={
                "version": self._version,
                "should_be": answer.version,
                "action": answer.action.value,
                "reason": answer.reason,
            },
        )
        facts = {
            "format": 1,
            "asked": format_time(utc_now()),
            "site_version": self._site_version,
            "running": self._version,
            "version": answer.version,
            "action": answer.action.value,
            "reason": answer.reason,
        }
        try:
            self._client.state.write(UPDATE_FILE, facts)
        except OSError as error:
            _log.error("the answer to the update question cannot be stored", extra={"why": str(error)})


async def _until_written(write: Callable[[], None]) -> None:
    """Try again and again what must be on the disk before this client goes on."""
    while True:
        try:
            write()
        except OSError as error:
            _log.error("the update cannot be written down yet", extra={"why": str(error)})
            await asyncio.sleep(WRITE_AGAIN_SECONDS)
        else:
            return
