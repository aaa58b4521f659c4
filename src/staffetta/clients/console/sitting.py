"""A rep's session in the terminal: keys out, output in, and what happens to the session shown beside it."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator

from staffetta.clients.console.account import SignedIn
from staffetta.clients.console.escape import EscapeFilter
from staffetta.clients.console.events import EventFile
from staffetta.clients.console.terminal import Terminal
from staffetta.clients.console.waiting import open_when_there
from staffetta.clients.errors import AccessRevoked, ClientError, ClockWrong, SessionOver
from staffetta.clients.installed import running_version
from staffetta.clients.runtime.network import Network
from staffetta.clients.runtime.session import Session
from staffetta.wire import messages, notes
from staffetta.wire.errors import CloseCode, FrameError, HoldExceeded
from staffetta.wire.signed import SIGNED_OUT
from staffetta.wire.vocabulary import Channel, EndName

LONG_PAUSE_SECONDS = 1.0
LAST_OUTPUT_SECONDS = 2.0  # how long a slow terminal may take what arrived before the end
MOST_CHARACTERS = 1000  # of a side of a terminal, as the protocol has it
LEFT = "left by the rep"
END_OF_FILE = b"\x04"


class Sitting:
    """One session in one terminal. ``run`` returns the exit status of the remote shell, 0 if the rep left."""

    def __init__(self, session: Session, terminal: Terminal, computer: str) -> None:
        self._session = session
        self._terminal = terminal
        self._computer = computer
        self._status: int | None = None
        self._expected: int | None = None
        self._shown = 0
        self._said_held = False

    async def run(self) -> int:
        """Carry keys and output until the shell has left, the rep leaves or the session is over."""
        place: asyncio.Task[object] = asyncio.create_task(self._session.run())
        streams: list[asyncio.Task[object]] = [asyncio.create_task(self._keys()), asyncio.create_task(self._output())]
        watch: asyncio.Task[object] = asyncio.create_task(self._watch())
        try:
            with self._terminal.size_watched(self._resized), _stopped_by_signals(self._session):
                await asyncio.wait({place, *streams}, return_when=asyncio.FIRST_COMPLETED)
                if streams[0].done() and not streams[0].cancelled() and streams[0].exception() is None:
                    await asyncio.wait({place, streams[1]}, return_when=asyncio.FIRST_COMPLETED)
                await self._terminal.title("")
        finally:
            self._session.end("the console has ended the session")
            watch.cancel()
            streams[0].cancel()
            background = (place, watch, streams[0])
            await asyncio.wait(background)
            await asyncio.wait({streams[1]}, timeout=LAST_OUTPUT_SECONDS)
            streams[1].cancel()
            outcomes = await asyncio.gather(*background, streams[1], return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return self._result()

    def _result(self) -> int:
        if self._status is not None:
            return self._status
        over = self._session.over or ""
        if over == LEFT:
            return 0
        raise end_of(self._session)

    async def _keys(self) -> None:
        """Send what is typed while the session can keep it; the rest waits in the terminal."""
        escape = EscapeFilter()
        while await self._session.writable():
            typed = await self._terminal.read()
            if not typed:
                if not self._terminal.interactive and await self._session.writable():
                    self._session.send(Channel.SHELL, END_OF_FILE)
                elif self._terminal.interactive:
                    self._session.end("the console's terminal is gone")
                return
            send, leaves = escape.feed(typed) if self._terminal.interactive else (typed, False)
            if send:
                self._session.send(Channel.SHELL, send)
            if leaves:
                self._session.end(LEFT)
                return

    async def _output(self) -> None:
        """Show what the far end sends; what the terminal took counts as consumed."""
        while (frame := await self._session.arrived()) is not None:
            if frame.channel == Channel.SHELL:
                await self._terminal.write(frame.payload)
                self._shown += len(frame.payload)
            elif frame.channel == Channel.NOTES:
                self._note(frame.payload)
            self._session.consumed(frame)
            if self._expected is not None and self._shown >= self._expected:
                self._session.end("exit")
                return

    def _note(self, payload: bytes) -> None:
        try:
            note = notes.parse_note(payload)
        except FrameError:
            return  # a note that is not understood changes nothing here
        if isinstance(note, notes.Exit):
            self._status, self._expected = note.status & 0xFF, note.output

    def _resized(self, columns: int, rows: int) -> None:
        with contextlib.suppress(HoldExceeded):  # far behind anyway: the next size counts
            self._session.send_note(notes.Resize(*_sides(columns, rows)))

    async def _watch(self) -> None:
        """Show in the title, and after a second in a line, that input is held."""
        shown = ""
        while True:
            held = self._session.held_since
            status = f"{self._computer} · {'reconnecting' if held is not None else 'connected'}"
            if status != shown:
                shown = status
                await self._terminal.title(status)
            if held is not None and not self._said_held and time.monotonic() - held > LONG_PAUSE_SECONDS:
                self._said_held = True
                await self._terminal.say("reconnecting, input held")
            if held is None and self._said_held:
                self._said_held = False
                await self._terminal.say("connected again")
            await asyncio.sleep(0.1)


def end_of(session: Session) -> ClientError:
    """Return the error for a session that is over without having come to what it was for."""
    over = session.over or ""
    match session.close_code:
        case _ if over == SIGNED_OUT:
            return AccessRevoked("The session is over: this console was signed out. Run: staffetta console sign-in")
        case CloseCode.REFUSED:
            return AccessRevoked(f"The site no longer accepts this session: {over}")
        case CloseCode.NOT_PROVEN if "expired" in over:
            return ClockWrong(f"The session could not be resumed: {over} Are the clocks of both appliances right?")
        case _:
            return SessionOver(f"The session is over: {over}")


async def connect(account: SignedIn, wish: str, terminal: Terminal, events: EventFile) -> int:
    """Open a shell session on the computer with this id or name; returns the shell's exit status."""
    options = messages.ShellOptions(*_sides(*terminal.size()))
    async with Network(account.site.book(), account.remember) as network:
        computer, opened = await open_when_there(network, account, wish, events, options)
        session = Session(network, EndName.CONSOLE, opened.ticket, account.key, running_version(), events.write)
        with terminal:
            if terminal.interactive:
                await terminal.say(f"{computer.name}: leave with Enter, ~ and a dot")
            return await Sitting(session, terminal, computer.name).run()


def _sides(columns: int, rows: int) -> tuple[int, int]:
    return min(max(columns, 1), MOST_CHARACTERS), min(max(rows, 1), MOST_CHARACTERS)


@contextlib.contextmanager
def _stopped_by_signals(session: Session) -> Iterator[None]:
    """SIGHUP and SIGTERM end the session, so that the terminal is put back."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGHUP, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, session.end, f"the console got {number.name}")
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
