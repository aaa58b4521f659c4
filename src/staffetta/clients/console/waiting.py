"""A rep who waits for a passive computer: what is shown on standard error meanwhile, and how the wait is cancelled."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any, Final

from staffetta.clients.console.account import SignedIn
from staffetta.clients.console.desk import open_session
from staffetta.clients.console.events import EventFile
from staffetta.clients.errors import ClientError
from staffetta.clients.runtime.events import WaitEvent
from staffetta.clients.runtime.network import Network
from staffetta.kernel.clock import parse_time, utc_now
from staffetta.kernel.errors import InvalidInput
from staffetta.wire import messages
from staffetta.wire.vocabulary import SessionKind

TICK_SECONDS: Final = 1.0
PLAIN_SECONDS: Final = 60.0


class WaitCancelled(ClientError):
    """The rep did not want to wait any more: no session was opened."""

    code = "cancelled"
    http_status = 409
    exit_status = 130


class WaitLine:
    """Says whom a rep waits for and how long already: a line that is written over in a terminal, else one a minute."""

    def __init__(self, sink: IO[str], events: EventFile) -> None:
        self._sink = sink
        self._events = events
        self._interactive = sink.isatty()
        self._since = time.monotonic()
        self._sentence = ""
        self._shown = ""
        self._told_at = 0.0

    def told(self, computer: messages.ListedClient, waiting: messages.Waiting) -> None:
        """The site has said how the wait stands."""
        if not self._sentence:
            self._since = time.monotonic()
        self._events.write(WaitEvent(utc_now(), waiting.woken, waiting.expected))
        sentence = sentence_of(computer.name, waiting, utc_now())
        if sentence != self._sentence:
            self._sentence, self._told_at = sentence, 0.0
        self.look()

    def look(self) -> None:
        """Show what is so now."""
        if not self._sentence:
            return
        now = time.monotonic()
        line = f"{self._sentence} Waiting {_span(now - self._since)}, Ctrl-C cancels."
        if self._interactive:
            self._overwrite(line)
        elif not self._told_at or now - self._told_at >= PLAIN_SECONDS:
            self._told_at = now
            self._sink.write(line + "\n")
            self._sink.flush()

    def done(self) -> None:
        """Leave the terminal's line to what comes next."""
        if self._interactive and self._shown:
            self._overwrite("")
            self._sink.write("\r")
            self._sink.flush()

    async def tick(self) -> None:
        """Show how the time goes by, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(TICK_SECONDS)

    def _overwrite(self, line: str) -> None:
        self._sink.write("\r" + line.ljust(len(self._shown)))
        self._sink.flush()
        self._shown = line


def sentence_of(computer: str, waiting: messages.Waiting, now: datetime) -> str:
    """Return what the rep is told of a passive computer that is not connected."""
    if waiting.woken:
        return f"{computer} is passive and was woken; the session begins when it is here."
    begin = f"{computer} is passive and cannot be woken; the session begins when it next checks in"
    try:
        expected = None if waiting.expected is None else parse_time(waiting.expected)
    except InvalidInput:
        expected = None
    if expected is None:
        return f"{begin}."
    if expected < now:
        return f"{begin}. It has been overdue since {expected.astimezone():%Y-%m-%d %H:%M}."
    return f"{begin}, at the latest on {expected.astimezone():%Y-%m-%d at %H:%M}."


async def open_when_there(
    network: Network,
    account: SignedIn,
    wish: str,
    events: EventFile,
    options: messages.ShellOptions | None = None,
    kind: SessionKind = SessionKind.SHELL,
) -> tuple[messages.ListedClient, messages.Opened]:
    """Open a session on the computer with this id or name; a passive one is waited for, which is shown.

    Raises what ``open_session`` raises, and WaitCancelled.
    """
    line = WaitLine(sys.stderr, events)
    opening = asyncio.ensure_future(open_session(network, account, wish, options, kind, line.told))
    ticking = asyncio.create_task(line.tick())
    try:
        with cancelled_by_signals(opening):
            await asyncio.wait({opening})
        if opening.cancelled():
            raise WaitCancelled("Cancelled; no session was opened.")
        return opening.result()
    finally:
        opening.cancel()
        ticking.cancel()
        line.done()


@contextlib.contextmanager
def cancelled_by_signals(work: "asyncio.Future[Any]") -> Iterator[None]:
    """Ctrl-C, SIGHUP and SIGTERM cancel what is done for the rep, so that it can be put away."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, work.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
