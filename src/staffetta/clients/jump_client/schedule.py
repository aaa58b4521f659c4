"""When a passive Jump Client checks in, how long it stays, and how often it may be woken. Pure: times are passed in.

Times are seconds, of the ``monotonic`` and the ``wall`` clock of the caller. A computer that sleeps stops the first and
not the second, one whose clock is set back the second and not the first: whichever says first that it is time is
believed (C4: at least every 24 h).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LONGEST_SECONDS: Final = 24 * 3600.0
SHORTEST_SECONDS: Final = 1.0
SPREAD: Final = 0.1
"""The part of the interval by which a client may come early, so that thousands do not come at once."""
FAILED_SECONDS: Final = 60.0
FAILED_LONGEST_SECONDS: Final = 3600.0


class Reason(StrEnum):
    """Why a passive client checks in."""

    START = "start"
    DUE = "due"
    ASKED = "asked"  # somebody at that computer wants it to
    WOKEN = "woken"  # a rep connects from the console
    SESSION = "session"  # it has sessions, and had left when the last of them began
    NEWS = "news"  # the site is to know how an update went
    MODE = "mode"  # it is an active client again
    AGAIN = "again"  # the last attempt did not reach the site


@dataclass(frozen=True, slots=True)
class Due:
    """The moment of the next check-in, on both clocks."""

    monotonic: float
    wall: float

    def left(self, monotonic: float, wall: float) -> float:
        """Return how many seconds are left until then, not below 0."""
        return max(0.0, min(self.monotonic - monotonic, self.wall - wall))


def interval(hours: float) -> float:
    """Return the seconds between two check-ins for what the client's owner has set: never more than 24 hours."""
    return min(max(hours * 3600.0, SHORTEST_SECONDS), LONGEST_SECONDS)


def next_due(monotonic: float, wall: float, every: float, jitter: float) -> Due:
    """Return when to check in next after having left now; ``jitter`` is within [0, 1)."""
    wait = every * (1.0 - SPREAD * jitter)
    return Due(monotonic + wait, wall + wait)


def due_after_failure(monotonic: float, wall: float, every: float, failures: int, jitter: float) -> Due:
    """Return when to try again after so many attempts (at least 1) in a row that did not reach the site."""
    wait = min(FAILED_SECONDS * 2.0 ** min(max(failures, 1) - 1, 16), FAILED_LONGEST_SECONDS, every)
    return next_due(monotonic, wall, wait, jitter)


def may_leave_in(
    now: float, sessions: int, asking: bool, welcomed: float | None, last_use: float, linger: float
) -> float:
    """Return in how many seconds a passive client that is connected may leave, if nothing happens meanwhile.

    It stays while it holds sessions, and while it asks about or takes in an update; then ``linger`` seconds from its
    welcome (None: not yet) or its last use on, so that a session that waits for it finds it.
    """
    if sessions or asking or welcomed is None:
        return linger
    return max(0.0, max(welcomed, last_use) + linger - now)


class Allowance:
    """How often something may happen: ``most`` times at once, and then one every ``seconds``."""

    __slots__ = ("_at", "_left", "_most", "_seconds")

    def __init__(self, most: int, seconds: float, now: float) -> None:
        self._most = float(most)
        self._seconds = seconds
        self._left = float(most)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether it may happen once now; asking takes it as having happened."""
        self._left = min(self._most, self._left + max(0.0, now - self._at) / self._seconds)
        self._at = max(self._at, now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
