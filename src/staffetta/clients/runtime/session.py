"""One end of a session on the network: carries out what ``wire.resume`` decides, over one connection after another.

- A new connection is opened beside the old one when the site says ``move``; after a loss at once, then with growing
  pauses; at most one attempt is under way.
- The application reads ``arrived`` and tells ``consumed``; it may ``send`` when ``writable`` let it.
- While this end is sent elsewhere and does not get in, its far end getting in there cuts the pause short.
- Everything that happens to the session's place is told as a ``SessionEvent``.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

from staffetta.clients.errors import ClientError
from staffetta.clients.runtime.events import SessionEvent
from staffetta.clients.runtime.link import Link, LinkClosed
from staffetta.clients.runtime.network import Network, jitter
from staffetta.clients.runtime.story import Story
from staffetta.kernel.clock import utc_now
from staffetta.kernel.log import get_logger
from staffetta.wire import messages, notes, outcomes, resume, tickets
from staffetta.wire.errors import FINAL_CODES, CloseCode, FrameError
from staffetta.wire.identity import SigningKey
from staffetta.wire.liveness import Reconnect
from staffetta.wire.vocabulary import EndName

SESSION_PATH: Final = "/client/session"
ATTACH_SECONDS: Final = 4.0
LAST_WORDS_SECONDS: Final = 1.0
SETTLED_SECONDS: Final = 0.25  # a place held this long counts as a success: the next attempt comes at once

_log = get_logger(__name__)


class Session:
    """One end. ``run`` until it returns why the session is over; use the other methods meanwhile."""

    def __init__(
        self,
        network: Network,
        end: EndName,
        ticket: str,
        key: SigningKey,
        version: str,
        tell: Callable[[SessionEvent], None],
    ) -> None:
        self._network = network
        self._route = network.route()
        self._ticket = ticket
        self._key = key
        self._version = version
        self._tell = tell
        self._end = resume.SessionEnd(end)
        self._story = Story()
        self._links: dict[int, Link] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._joining: dict[int, asyncio.Future[bool]] = {}
        self._asked: dict[int, float] = {}
        self._arrivals: asyncio.Queue[outcomes.Arrived | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._emptied = asyncio.Event()
        self._dial = asyncio.Event()
        self._hurry = asyncio.Event()
        self._ended = asyncio.Event()
        self.joined = asyncio.Event()
        self._moving = False
        self._reconnect = Reconnect(time.monotonic())
        self._started = time.monotonic()
        self._heard = self._settled = self._started
        self._away_since: float | None = None
        self.close_code: int | None = None
        self.recorded = False

    # -- the application's side ----------------------------------------------------------------------------------

    @property
    def over(self) -> str | None:
        """Why the session is over; None while it goes on."""
        return self._end.over

    @property
    def held_since(self) -> float | None:
        """Since when (monotonic seconds) nothing can be sent; None while it flows."""
        return self._story.held_since

    @property
    def unconsumed(self) -> int:
        """How many bytes, headers included, the far application has not yet taken."""
        return self._end.held.bytes

    async def arrived(self) -> outcomes.Arrived | None:
        """Return the next frame of the far end; None when there are no more."""
        return await self._arrivals.get()

    def consumed(self, frame: outcomes.Arrived) -> None:
        """The application has taken this frame and all before it on its channel."""
        self._end.consumed(frame)
        self._carry_out()

    async def writable(self) -> bool:
        """Wait until a whole frame may be sent; False when the session is over."""
        while self._end.over is None and not self._end.writable:
            self._room.clear()
            await self._room.wait()
        return self._end.over is None

    def send(self, channel: int, payload: bytes) -> None:
        """Send bytes; the caller waited for ``writable``."""
        self._end.send(channel, payload, self._at())
        self._carry_out()

    def send_note(self, note: notes.Note) -> None:
        """Send a message of channel 0, for which room is reserved."""
        self._end.send_note(note, self._at())
        self._carry_out()

    async def all_consumed(self) -> bool:
        """Wait until the far application has taken everything; False when the session is over before."""
        while self._end.over is None and self._end.held.frames:
            self._emptied.clear()
            await self._emptied.wait()
        return not self._end.held.frames

    def end(self, reason: str) -> None:
        """End the session for both ends."""
        if self._end.over is None:
            self._end.end(reason)
            self._carry_out()
            self._finish()

    # -- the network's side --------------------------------------------------------------------------------------

    async def run(self) -> str:
        """Hold a place in the session until it is over; returns why."""
        self._dial.set()
        self._reconnect = Reconnect(time.monotonic())
        background = [asyncio.create_task(self._keep_dialling()), asyncio.create_task(self._keep_ticking())]
        ended = asyncio.create_task(self._ended.wait())
        try:
            done, _ = await asyncio.wait({ended, *background}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._over("this end stopped")
            for task in (ended, *background):
                task.cancel()
            await asyncio.gather(ended, *background, return_exceptions=True)
            await self._leave()
        assert self._end.over is not None
        self._narrate(self._story.over(utc_now(), self._end.over))
        return self._end.over

    async def _leave(self) -> None:
        """Close what is open, after what was still to be said."""
        for link in self._links.values():
            link.close(CloseCode.ENDED, "ended")
        leaving = [asyncio.create_task(link.closed()) for link in self._links.values()]
        if leaving:
            await asyncio.wait(leaving, timeout=LAST_WORDS_SECONDS)
        for task in (*leaving, *self._readers):
            task.cancel()
        await asyncio.gather(*leaving, *self._readers, return_exceptions=True)

    async def _keep_dialling(self) -> None:
        while True:
            await self._dial.wait()
            self._dial.clear()
            while self._end.over is None and (self._moving or self._end.current is None):
                if not await self._attempt() and self._end.current is None:
                    why = self._reconnect.given_up(time.monotonic())
                    if why is not None:
                        self._over(why)

    async def _attempt(self) -> bool:
        """Try once to get a place; returns whether it is ours."""
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._reconnect.delay(jitter())):
                await self._hurry.wait()
        try:
            link = await self._network.open(SESSION_PATH, self._route)
        except ClientError as error:
            _log.info("no place in the session yet", extra={"why": error.message})
            return False
        counter = self._end.dial()
        attach = tickets.make_attach(
            *(self._ticket, counter, link.nonce, link.certificate, self._key, self._version), away_ms=self._away()
        )
        joining: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._links[counter] = link
        self._joining[counter] = joining
        self._asked[counter] = time.monotonic()
        link.send(messages.encode(attach))
        reader = asyncio.create_task(self._read(counter, link))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                return await joining
        except TimeoutError:
            link.close(CloseCode.SILENT, "no answer to attach")
            return False
        finally:
            del self._joining[counter], self._asked[counter]

    async def _read(self, counter: int, link: Link) -> None:
        code: int | None = None
        why = ""
        try:
            while True:
                message = await link.receive()
                now = time.monotonic()
                if counter == self._end.current:
                    self._heard = now
                self._meet(self._end.receive(counter, message, now), now)
                self._carry_out()
        except FrameError as error:
            why = error.message
            link.close(CloseCode.BAD_FRAME, error.close_reason)
        except LinkClosed as closed:
            code, why = closed.close_code, closed.message
        finally:
            self._link_ended(counter, link, code, why)

    def _link_ended(self, counter: int, link: Link, code: int | None, why: str) -> None:
        """A connection is over: an attempt has failed, an old place was left, or the place is lost."""
        link.close(CloseCode.MOVED, "")
        self._links.pop(counter, None)
        joining = self._joining.get(counter)
        if joining is not None and not joining.done():
            joining.set_result(False)
        held = self._end.current == counter
        self._end.lost(counter)
        if held:
            self._away_since = time.monotonic()
        if self._end.over is not None:
            return
        if held and not (self._joining and code in (CloseCode.FENCED, CloseCode.MOVED)):
            self._place_lost(time.monotonic(), why or f"closed with {code}")
        if code in FINAL_CODES and self._end.current is None:
            self.close_code = code
            self._over(why or f"the site answered {code}")

    def _place_lost(self, since: float, why: str) -> None:
        now = time.monotonic()
        _log.info("the connection of a session is lost", extra={"why": why})
        self._settle(now)
        self._narrate(self._story.lost(now, since, utc_now(), why))
        self._dial.set()

    def _away(self) -> int | None:
        """How long this end has had no connection, in milliseconds: 0 while it holds one, None before its first."""
        if self._end.current is not None:
            return 0
        return None if self._away_since is None else max(1, round((time.monotonic() - self._away_since) * 1000))

    def _settle(self, now: float) -> None:
        """The newest place was left; if it was held for a while, the next attempt comes at once."""
        if now - self._settled >= SETTLED_SECONDS:
            self._reconnect.succeeded(now)
        self._settled = now

    async def _keep_ticking(self) -> None:
        while True:
            look = self._end.next_look()
            now = time.monotonic()
            await asyncio.sleep(0.25 if look is None else min(max(look - now, 0.02), 0.5))
            now = time.monotonic()
            self._meet(self._end.tick(now), now)
            self._carry_out()

    def _meet(self, events: Iterable[outcomes.Event], now: float) -> None:
        for event in events:
            match event:
                case outcomes.Arrived():
                    self._arrivals.put_nowait(event)
                case outcomes.SessionJoined(attached, counter, resumed):
                    self._joined(attached, counter, resumed, now)
                case outcomes.PeerChanged(present):
                    if self._moving and not present:
                        self._reconnect.succeeded(now)
                        self._hurry.set()
                    self._narrate(self._story.peer(present, now, utc_now()))
                case outcomes.Resumed():
                    self._narrate(self._story.flows(now, utc_now()))
                case outcomes.TicketChanged(ticket):
                    self._ticket = ticket
                case outcomes.MoveAsked(move):
                    self._follow(move)
                case outcomes.PointedElsewhere(counter, move):
                    self._pointed(counter, move)
                case outcomes.StatementChanged(statement):
                    self._learn(statement)
                case outcomes.ConnectionLost():
                    self._away_since = self._heard
                    self._place_lost(self._heard, "nothing heard for two seconds")
                case outcomes.SessionOver(reason):
                    self._over(reason)

    def _joined(self, attached: messages.Attached, counter: int, resumed: bool, now: float) -> None:
        self._settle(now)
        self._heard = now
        # Now, not when the attempt goes on: the next message may be a move away from here.
        self._moving = False
        if (link := self._links.get(counter)) is not None:
            self._route.succeeded(link.address)
        self.recorded = attached.recorded
        asked = self._asked.get(counter, now)
        self._narrate(self._story.joined(attached, counter, resumed, asked, utc_now()))
        joining = self._joining.get(counter)
        if joining is not None and not joining.done():
            joining.set_result(True)
        self.joined.set()

    def _follow(self, move: messages.Move) -> None:
        if self._goes(move, None):
            self._settle(time.monotonic())
            self._moving = True
            self._dial.set()

    def _pointed(self, counter: int, move: messages.Move) -> None:
        """An appliance that serves nobody has answered an attempt; the next one goes where it points, after a while."""
        link = self._links.get(counter)
        if link is not None and self._goes(move, link.address):
            _log.info("pointed elsewhere", extra={"by": link.address, "to": list(move.addresses or ())})

    def _goes(self, move: messages.Move, pointed_by: str | None) -> bool:
        try:
            return self._network.follow(self._route, move, pointed_by)
        except ClientError as error:
            _log.warning("a move was not followed", extra={"why": error.message})
            return False

    def _learn(self, statement: str) -> None:
        try:
            self._network.adopt(statement)
        except ClientError as error:
            _log.warning("a statement was not taken", extra={"why": error.message})

    def _carry_out(self) -> None:
        for output in self._end.take():
            link = self._links.get(output.connection)
            if link is None:
                continue
            if isinstance(output, outcomes.Send):
                link.send(output.message)
            else:
                link.close(output.code, output.reason)
        if self._end.writable:
            self._room.set()
        if not self._end.held.frames:
            self._emptied.set()

    def _over(self, why: str) -> None:
        self._end.over = self._end.over or why
        self._finish()

    def _finish(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._arrivals.put_nowait(None)
        self._room.set()
        self._emptied.set()
        self.joined.set()

    def _narrate(self, events: Iterable[SessionEvent]) -> None:
        for event in events:
            self._tell(event)

    def _at(self) -> int:
        return int((time.monotonic() - self._started) * 1_000_000)
