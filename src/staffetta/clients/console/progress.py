"""How far a file has got, on standard error: one line that is written over in a terminal, else a line now and then."""

import time
from typing import IO, Final

from staffetta.clients.console.events import EventFile
from staffetta.clients.runtime.events import ProgressEvent
from staffetta.kernel.clock import utc_now
from staffetta.kernel.sizes import UNITS, in_unit, power_of, spoken_size

RATE_SECONDS: Final = 5.0
PLAIN_SECONDS: Final = 10.0
EVENT_SECONDS: Final = 0.5


class Progress:
    """Shows one transfer. ``look`` is called several times a second."""

    def __init__(self, name: str, sink: IO[str], events: EventFile) -> None:
        self._name = name
        self._sink = sink
        self._events = events
        self._interactive = sink.isatty()
        self._samples: list[tuple[float, int]] = []
        self._told: tuple[int, float] = (-1, 0.0)
        self._shown = ""
        self._plain_at = time.monotonic()
        self._reconnecting = False

    def look(self, moved: int, size: int | None, reconnecting: bool) -> None:
        """Show what is so now, if it is time to."""
        now = time.monotonic()
        self._samples = [sample for sample in self._samples if now - sample[0] <= RATE_SECONDS]
        self._samples.append((now, moved))
        if moved != self._told[0] and (now - self._told[1] >= EVENT_SECONDS or moved == size):
            self._told = (moved, now)
            self._events.write(ProgressEvent(utc_now(), moved, size))
        line = f"{self._name}: {self._amount(moved, size)}, {'reconnecting' if reconnecting else self._rate()}"
        if self._interactive:
            self._overwrite(line)
        elif reconnecting != self._reconnecting or now - self._plain_at >= PLAIN_SECONDS:
            self._plain_at = now
            self._sink.write(line + "\n")
            self._sink.flush()
        self._reconnecting = reconnecting

    def done(self) -> None:
        """Leave the terminal's line to what comes next."""
        if self._interactive:
            self._overwrite("")
            self._sink.write("\r")
            self._sink.flush()

    def _amount(self, moved: int, size: int | None) -> str:
        if size is None:
            return "waiting"
        percent = 100 if size == 0 else moved * 100 // size
        power = power_of(size)
        return f"{in_unit(moved, power)} of {in_unit(size, power)} {UNITS[power]} ({percent} %)"

    def _rate(self) -> str:
        (began, before), (now, moved) = self._samples[0], self._samples[-1]
        return f"{spoken_size((moved - before) / max(now - began, 0.001))}/s"

    def _overwrite(self, line: str) -> None:
        if line != self._shown:
            self._sink.write("\r" + line.ljust(len(self._shown)))
            self._sink.flush()
            self._shown = line
