"""How late an event loop is: the longest delay of a timer in the last minute, in seconds."""

import asyncio
from collections import deque
from typing import Final

TICK_SECONDS: Final = 0.5
KEPT_TICKS: Final = 120


class LoopLag:
    """Measures the running loop from `start` to `stop`; what a request waits before it is looked at is at most this."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT_TICKS)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """The longest delay of the last minute."""
        return max(self._late, default=0.0)

    def start(self) -> None:
        """Begin, or go on."""
        loop = asyncio.get_running_loop()
        due = loop.time() + TICK_SECONDS
        self._timer = loop.call_at(due, self._tick, due)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, due: float) -> None:
        self._late.append(max(0.0, asyncio.get_running_loop().time() - due))
        self.start()
