"""How long input was held, and which event to tell when: from what happened at which time. Pure.

- A hold begins when a connection is lost (at the last sign of life if it went silent), when an attach is sent for a
  move, or when the far end is not there; it is over when the far end has told what it has.
- ``moved`` and ``resumed`` are told when the hold they caused is over; if the far end is away meanwhile they are told
  without a pause, and the pause goes with the far end's ``peer``.
- Before the two ends have met for the first time nothing counts as a hold.
"""

from datetime import datetime

from staffetta.clients.runtime.events import Happening, SessionEvent
from staffetta.wire.messages import Attached


class Story:
    """One end's events. ``now`` is in seconds of one monotonic clock, ``at`` the wall clock's time for the event."""

    def __init__(self) -> None:
        self.held_since: float | None = None
        self._generation = ""
        self._site_version = ""
        self._counter = 0
        self._met = False
        self._lost = False
        self._untold: Happening | None = None
        self._peer = False

    def lost(self, now: float, since: float, at: datetime, why: str) -> list[SessionEvent]:
        """The connection is gone; nothing was heard since ``since``."""
        self._lost = True
        self._hold(min(since, now))
        return [*self._untold_now(at), self._event(at, Happening.LOST, detail=why)]

    def joined(self, attached: Attached, counter: int, resumed: bool, asked: float, at: datetime) -> list[SessionEvent]:
        """A connection has taken over; its attach was sent at ``asked``."""
        told = self._untold_now(at)
        self._generation, self._site_version, self._counter = attached.generation, attached.site_version, counter
        if resumed:
            self._hold(asked)
            self._untold = Happening.RESUMED if self._lost else Happening.MOVED
        else:
            told.append(self._event(at, Happening.ATTACHED))
        self._lost = False
        if not attached.peer:
            told += self._untold_now(at)
        return told

    def peer(self, present: bool, now: float, at: datetime) -> list[SessionEvent]:
        """The far end came or went."""
        self._hold(now)
        if present:
            return []
        told = self._untold_now(at)
        if self._peer:
            told.append(self._event(at, Happening.PEER, detail="absent"))
        self._peer = False
        return told

    def flows(self, now: float, at: datetime) -> list[SessionEvent]:
        """The far end has told what it has: the hold is over."""
        pause = None if self.held_since is None else round((now - self.held_since) * 1000, 1)
        self.held_since = None
        what = self._untold
        self._untold = None
        returned = not self._peer
        self._met = self._peer = True
        if what is not None:
            return [self._event(at, what, pause)]
        if pause is not None or returned:
            return [self._event(at, Happening.PEER, pause, "present")]
        return []

    def over(self, at: datetime, why: str) -> list[SessionEvent]:
        """The session has ended."""
        return [*self._untold_now(at), self._event(at, Happening.ENDED, detail=why)]

    def _hold(self, since: float) -> None:
        if self._met and self.held_since is None:
            self.held_since = since

    def _untold_now(self, at: datetime) -> list[SessionEvent]:
        what, self._untold = self._untold, None
        return [] if what is None else [self._event(at, what)]

    def _event(
        self, at: datetime, what: Happening, pause: float | None = None, detail: str | None = None
    ) -> SessionEvent:
        return SessionEvent(at, what, self._generation, self._site_version, self._counter, pause, detail)
