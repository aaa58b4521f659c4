"""Being at the site: an active Jump Client always, a passive one when there is a reason, for as long as there is.

One stay is one ``Presence``. A passive client leaves by asking the gateway to let it rest, so that nobody opens a
session with a client that has just gone. When to come and how long to stay is decided in ``schedule``.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from staffetta.clients.jump_client import schedule
from staffetta.clients.jump_client.local_asking import NotCheckedIn
from staffetta.clients.jump_client.schedule import Due, Reason
from staffetta.clients.jump_client.waking import WakeListener
from staffetta.clients.runtime.network import jitter
from staffetta.clients.runtime.presence import Presence
from staffetta.kernel.log import get_logger
from staffetta.wire import messages

GIVE_UP_SECONDS: Final = 300.0
"""A check-in that has not reached the site for so long is given up, and tried again later."""
LOOK_SECONDS: Final = 0.5
SLEPT_SECONDS: Final = 30.0
"""How often a resting client looks at the clocks: the computer may have slept."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Habits:
    """``every``: seconds between two check-ins; ``linger``: how long a client stays that has nothing to do.

    ``once``: one stay as of a passive client, and no other.
    """

    every: float
    linger: float
    once: bool = False


class Attendance:
    """The comings and goings of one client.

    ``connect`` makes the presence of one stay, ``sessions`` says how many sessions it holds, ``asking`` whether it asks
    about or takes in an update. ``listener`` waits for wake-ups while the client is passive, ``retell`` tells the site
    that the client's status has changed.
    """

    def __init__(
        self,
        habits: Habits,
        passive: bool,
        connect: Callable[[], Presence],
        sessions: Callable[[], int],
        asking: Callable[[], bool],
        listener: WakeListener,
        retell: Callable[[], None],
    ) -> None:
        self.passive = passive
        self._habits = habits
        self._connect = connect
        self._sessions = sessions
        self._asking = asking
        self._listener = listener
        self._retell = retell
        self._presence: Presence | None = None
        self._site_lets_rest = False
        self._welcomed: float | None = None
        self._last_use = 0.0
        self._arrived: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()
        self._call = asyncio.Event()
        self._called = Reason.DUE

    @property
    def online(self) -> bool:
        """Whether the client is connected now."""
        return self._presence is not None and self._presence.online

    def say(self, message: messages.Message) -> None:
        """Tell the gateway something; nothing while the client is not connected."""
        if self._presence is not None:
            self._presence.say(message)

    def come(self, reason: Reason) -> None:
        """Check in now, if the client rests."""
        if not self._call.is_set():
            self._called = reason
            self._call.set()

    async def come_and_wait(self, reason: Reason, seconds: float) -> bool:
        """Check in now; say whether the site was reached in time."""
        if self.online:
            return True
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrived.add(arrived)
        self.come(reason)
        try:
            async with asyncio.timeout(seconds):
                await arrived
        except TimeoutError:
            return False
        finally:
            self._arrived.discard(arrived)
        return True

    def welcomed(self, site_lets_rest: bool) -> None:
        """The client has just been let in."""
        self._site_lets_rest = site_lets_rest
        self._welcomed = time.monotonic()
        self._changed.set()
        for arrived in self._arrived:
            if not arrived.done():
                arrived.set_result(None)

    def used(self) -> None:
        """A session has begun or ended."""
        self._last_use = time.monotonic()
        self._changed.set()

    def become(self, passive: bool) -> None:
        """Be passive or active from now on."""
        self.passive = passive
        self._changed.set()
        if not passive:
            self.come(Reason.MODE)

    async def run(self) -> None:
        """Come and go until cancelled; returns after one stay if that is all. Raises AccessRevoked."""
        reason, failures = Reason.START, 0
        try:
            while True:
                if self.passive:
                    _log.info("checking in", extra={"reason": reason.value})
                reached = await self._stay()
                if self._sessions():
                    reason = Reason.SESSION  # it came while the client was leaving
                    continue
                if self._habits.once:
                    if not reached:
                        raise NotCheckedIn("The site was not reached; see the lines above for why.")
                    return
                failures = 0 if reached else failures + 1
                reason = await self._rest(self._next(failures), Reason.AGAIN if failures else Reason.DUE)
        finally:
            await self._listener.stop()

    def _next(self, failures: int) -> Due:
        now, wall, every = time.monotonic(), time.time(), self._habits.every
        if failures:
            due = schedule.due_after_failure(now, wall, every, failures, jitter())
        else:
            due = schedule.next_due(now, wall, every, jitter())
        _log.info("checked out" if not failures else "not checked in", extra={"next_in": round(due.left(now, wall))})
        return due

    async def _rest(self, due: Due, reason: Reason) -> Reason:
        """Wait until it is time, or somebody calls; returns why to come."""
        while left := due.left(time.monotonic(), time.time()):
            try:
                async with asyncio.timeout(min(left, SLEPT_SECONDS)):
                    await self._call.wait()
                    return self._called
            except TimeoutError:
                continue
        return reason

    async def _stay(self) -> bool:
        """Be at the site until the client may leave; returns whether it was let in. Raises AccessRevoked."""
        await self._listen()
        self._welcomed, self._site_lets_rest = None, False
        presence = self._presence = self._connect()
        running = asyncio.create_task(presence.run())
        running.add_done_callback(lambda _: self._changed.set())
        missing: float | None = time.monotonic()
        try:
            while True:
                self._changed.clear()
                if running.done():
                    running.result()
                    return False
                await self._listen()
                if presence.online:
                    missing = None
                elif missing is None:
                    missing = time.monotonic()
                wait = None
                if self.passive or self._habits.once:
                    if missing is not None and time.monotonic() - missing >= GIVE_UP_SECONDS and not self._sessions():
                        self._call.clear()  # who has called would not be answered by the next attempt either
                        return False
                    left = self._may_leave_in()
                    if left <= 0.0 and presence.online:
                        self._call.clear()  # who calls from here on is not answered by this stay
                        if not self._site_lets_rest or await presence.rest():
                            return True
                        self._last_use = time.monotonic()  # the site wants something of it
                        continue
                    wait = min(max(left, 0.05), LOOK_SECONDS)
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            self._presence = None
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _may_leave_in(self) -> float:
        return schedule.may_leave_in(
            time.monotonic(), self._sessions(), self._asking(), self._welcomed, self._last_use, self._habits.linger
        )

    async def _listen(self) -> None:
        """Wait for wake-ups while the client is passive, and only then."""
        before = self._listener.port
        if self.passive and not self._habits.once:
            await self._listener.start()
        else:
            await self._listener.stop()
        if self._listener.port != before:
            self._retell()
