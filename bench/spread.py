"""Figures out of many measurements: medians with their spread, percentiles, and pauses of a typed session. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from staffetta.kernel.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements of one thing, the least and the greatest of them."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of ``values``; none at all raises ``InvalidInput``."""
        found = sorted(values)
        if not found:
            raise InvalidInput("Nothing was measured, so there is no median.")
        return cls(statistics.median(found), found[0], found[-1])

    def text(self, digits: int = 0, unit: str = "") -> str:
        """Return ``median unit (least to greatest)``, with ``digits`` behind the point."""
        words = f"{self.median:,.{digits}f}{f' {unit}' if unit else ''}"
        return f"{words} ({self.least:,.{digits}f} to {self.greatest:,.{digits}f})"


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` % of ``values`` do not exceed (nearest rank)."""
    found = sorted(values)
    if not found:
        raise InvalidInput("Nothing was measured, so there is no percentile.")
    rank = -(-len(found) * percent // 100)
    return found[min(len(found), max(1, int(rank))) - 1]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in monotonic seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Echo:
    """One token of a session: when it was typed and when the terminal showed it again, in monotonic seconds."""

    sent: float
    seen: float

    @property
    def seconds(self) -> float:
        """How long its user waited to see it."""
        return self.seen - self.sent

    def touches(self, window: Window) -> bool:
        """Whether it was on its way at some moment of the window."""
        return self.sent <= window.end and self.seen >= window.start


def pause_within(echoes: Sequence[Echo], window: Window) -> float:
    """Return the longest wait in seconds of a token that was on its way in the window; none raises ``InvalidInput``."""
    waits = [echo.seconds for echo in echoes if echo.touches(window)]
    if not waits:
        raise InvalidInput("Nobody typed while it happened, so no pause was measured.")
    return max(waits)


def pause_after(echoes: Sequence[Echo], moment: float, window: Window) -> float:
    """Return the longest wait as `pause_within` does, but what was waited before ``moment`` does not count."""
    waits = [echo.seen - max(echo.sent, moment) for echo in echoes if echo.touches(window) and echo.seen >= moment]
    if not waits:
        raise InvalidInput("Nobody typed while it happened, so no pause was measured.")
    return max(waits)


def outside(echoes: Sequence[Echo], windows: Sequence[Window]) -> list[float]:
    """Return the round trips in seconds of the tokens that touch none of the windows."""
    return [echo.seconds for echo in echoes if not any(echo.touches(window) for window in windows)]
