"""The channels of a session, each to whoever serves it, so that one that is slow holds up no other.

A frame counts as consumed when the next of its channel is asked for. What arrives for a channel that nobody serves any
more is taken and dropped.
"""

import asyncio
from collections.abc import Callable

from staffetta.clients.errors import ClientError
from staffetta.clients.runtime.session import Session
from staffetta.kernel.log import get_logger
from staffetta.wire import messages, notes
from staffetta.wire.errors import FrameError
from staffetta.wire.outcomes import Arrived
from staffetta.wire.vocabulary import Channel

_log = get_logger(__name__)


class LaneOver(ClientError):
    """The session is over: nothing more arrives on this channel, nothing more can be sent."""

    code = "lane-over"


class Lane:
    """One channel of a session, for one reader."""

    def __init__(self, session: Session, channel: int) -> None:
        self.session = session
        self.channel = channel
        self.closed = False
        self._frames: asyncio.Queue[Arrived | None] = asyncio.Queue()
        self._last: Arrived | None = None

    @property
    def waiting(self) -> bool:
        """Whether something has arrived that was not asked for yet."""
        return not self._frames.empty()

    async def next(self) -> bytes:
        """Return what arrives next, the one before being taken. Raises LaneOver."""
        self._take()
        self._last = await self._frames.get()
        if self._last is None:
            raise LaneOver(f"The session is over: {self.session.over}")
        return self._last.payload

    async def say(self, payload: bytes) -> None:
        """Send one message when there is room for it. Raises LaneOver."""
        if not await self.session.writable():
            raise LaneOver(f"The session is over: {self.session.over}")
        self.session.send(self.channel, payload)

    def close(self) -> None:
        """Nobody serves it any more."""
        self.closed = True
        self._take()
        while self.waiting:
            self._last = self._frames.get_nowait()
            self._take()

    def put(self, frame: Arrived | None) -> None:
        """A frame has arrived; None when there are no more."""
        self._frames.put_nowait(frame)

    def _take(self) -> None:
        if self._last is not None:
            self.session.consumed(self._last)
            self._last = None


class Lanes:
    """All channels of a session but 0. ``accept`` serves a channel on which something arrives for the first time."""

    def __init__(
        self,
        session: Session,
        accept: Callable[[Lane], None] | None = None,
        noted: Callable[[notes.Note], None] | None = None,
    ) -> None:
        self._session = session
        self._accept = accept
        self._noted = noted
        self._lanes: dict[int, Lane] = {}

    def open(self, channel: int) -> Lane:
        """Return the lane of a channel that this end uses first."""
        lane = self._lanes[channel] = Lane(self._session, channel)
        return lane

    async def run(self) -> None:
        """Hand frames out until the session is over."""
        while (frame := await self._session.arrived()) is not None:
            if frame.channel == Channel.NOTES:
                self._note(frame.payload)
                self._session.consumed(frame)
                continue
            lane = self._lanes.get(frame.channel)
            if lane is None and self._accept is not None:
                lane = self.open(frame.channel)
                self._accept(lane)
            if lane is None or lane.closed:
                self._session.consumed(frame)
            else:
                lane.put(frame)
        for lane in self._lanes.values():
            lane.put(None)

    def _note(self, payload: bytes) -> None:
        try:
            note = notes.parse_note(payload)
        except FrameError as error:
            _log.warning("a note was not understood", extra={"why": error.message})
            return
        if self._noted is not None and not isinstance(note, messages.Unknown):
            self._noted(note)
