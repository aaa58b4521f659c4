"""When to ping, when a connection counts as dead, and when to dial again. Pure: time and jitter are passed in.

Times are seconds of one monotonic clock of the caller.
"""

from typing import Final

from staffetta.wire.errors import FINAL_CODES

PING_SECONDS: Final = 1.0
DEAD_SECONDS: Final = 2.0
GIVE_UP_SECONDS: Final = 300.0
RETRY_DELAYS: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
POINTED_DELAYS: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 6.0, 12.0)


class Liveness:
    """One connection: a ping every ``ping_every``, dead when nothing at all was heard for ``dead_after``."""

    __slots__ = ("_dead_after", "_heard", "_ping_every", "_pinged")

    def __init__(self, now: float, ping_every: float = PING_SECONDS, dead_after: float | None = None) -> None:
        self._ping_every = ping_every
        self._dead_after = 2 * ping_every if dead_after is None else dead_after
        self._heard = now
        self._pinged = now

    def heard(self, now: float) -> None:
        """Any frame arrived."""
        self._heard = max(self._heard, now)

    def ping_due(self, now: float) -> bool:
        """Whether to send a PING now; asking takes it as sent."""
        if now - self._pinged < self._ping_every:
            return False
        self._pinged = now
        return True

    def dead(self, now: float) -> bool:
        """Whether the connection is to be dropped as silent (4408)."""
        return now - self._heard >= self._dead_after

    def next_look(self) -> float:
        """The time at which ``ping_due`` or ``dead`` may next answer otherwise."""
        return min(self._pinged + self._ping_every, self._heard + self._dead_after)


class Reconnect:
    """How long to wait before each attempt: at once, 50 ms, 100, 200 … 2 s, each with jitter; and when to give up.

    ``give_up_after`` seconds without any success ends it (None: never, for a Jump Client's presence). Who is pointed
    elsewhere again and again waits up to 12 s: there is no primary now, and every question costs a handshake.
    """

    __slots__ = ("_attempt", "_final", "_give_up_after", "_last_success", "_pointed")

    def __init__(self, now: float, give_up_after: float | None = GIVE_UP_SECONDS) -> None:
        self._attempt = 0
        self._final: int | None = None
        self._give_up_after = give_up_after
        self._last_success = now
        self._pointed = 0

    def delay(self, jitter: float) -> float:
        """Seconds to wait before the next attempt, from half to the whole of the step; ``jitter`` is within [0, 1]."""
        step = max(_step(RETRY_DELAYS, self._attempt), _step(POINTED_DELAYS, self._pointed))
        self._attempt += 1
        return step * (1.0 - 0.5 * jitter)

    def succeeded(self, now: float) -> None:
        """The gateway took the connection (``attached`` or ``welcome``): start from the first delay next time."""
        self._attempt = self._pointed = 0
        self._last_success = now

    def pointed(self) -> None:
        """An appliance that serves nobody has answered, and named another."""
        self._pointed += 1

    def failed(self, code: int | None = None) -> None:
        """An attempt or connection ended; ``code`` is the WebSocket close code, if there was one."""
        if code in FINAL_CODES:
            self._final = code

    def given_up(self, now: float) -> str | None:
        """Why not to dial again, or None."""
        if self._final is not None:
            return f"the site answered {self._final}"
        if self._give_up_after is not None and now - self._last_success >= self._give_up_after:
            return f"no connection for {self._give_up_after:.0f} seconds"
        return None


def _step(delays: tuple[float, ...], number: int) -> float:
    return delays[min(number, len(delays) - 1)]
