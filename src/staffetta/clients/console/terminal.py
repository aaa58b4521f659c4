"""The rep's own terminal: raw while a session is open, its size, its title, and put back as it was, always.

Input is read when it is there and never made non-blocking (the shell that started us shares the description).
Output goes through a description of our own, opened anew and non-blocking, so that a stalled terminal holds this
session's output and not its pings; where that cannot be opened (a socket) it is written plainly.
"""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable
from typing import Final, Self

READ_SIZE: Final = 4096
SAVE_TITLE: Final = b"\x1b[22;0t"
RESTORE_TITLE: Final = b"\x1b[23;0t"
DEFAULT_SIZE: Final = (80, 24)


class Terminal:
    """Context manager around standard input and output for one session."""

    def __init__(self, source: int | None = None, sink: int | None = None) -> None:
        self._source = sys.stdin.fileno() if source is None else source
        self._plain_sink = sys.stdout.fileno() if sink is None else sink
        self._sink = self._plain_sink
        self._saved: list[int | list[bytes | int]] | None = None
        self.interactive = os.isatty(self._source)
        self.shows = os.isatty(self._plain_sink)

    def __enter__(self) -> Self:
        self._sink = _own_description(self._plain_sink)
        if self.interactive:
            self._saved = termios.tcgetattr(self._source)
            tty.setraw(self._source)
        if self.shows:
            self._write_now(SAVE_TITLE)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self.shows:
                self._write_now(RESTORE_TITLE)
        if self._saved is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._source, termios.TCSADRAIN, self._saved)
            self._saved = None
        if self._sink != self._plain_sink:
            os.close(self._sink)
            self._sink = self._plain_sink

    def size(self) -> tuple[int, int]:
        """Return columns and rows."""
        for descriptor in (self._plain_sink, self._source):
            with contextlib.suppress(OSError):
                size = os.get_terminal_size(descriptor)
                if size.columns and size.lines:
                    return size.columns, size.lines
        return DEFAULT_SIZE

    @contextlib.contextmanager
    def size_watched(self, changed: Callable[[int, int], None]):  # type: ignore[no-untyped-def]
        """Call ``changed(columns, rows)`` at every SIGWINCH."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, lambda: changed(*self.size()))
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)

    async def read(self) -> bytes:
        """Return what was typed; empty at the end of input."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self._source, _setter(ready))
        except PermissionError:  # a plain file: always ready, epoll refuses it
            return os.read(self._source, READ_SIZE)
        try:
            await ready
        finally:
            loop.remove_reader(self._source)
        try:
            return os.read(self._source, READ_SIZE)
        except OSError:  # the terminal is gone
            return b""

    async def write(self, data: bytes) -> None:
        """Show bytes; returns when the terminal took them all. OSError if it is gone."""
        rest = memoryview(data)
        loop = asyncio.get_running_loop()
        while rest:
            try:
                rest = rest[os.write(self._sink, rest) :]
            except BlockingIOError:
                ready: asyncio.Future[None] = loop.create_future()
                loop.add_writer(self._sink, _setter(ready))
                try:
                    await ready
                finally:
                    loop.remove_writer(self._sink)

    async def say(self, sentence: str) -> None:
        """Show a line of ours between the remote output."""
        await self.write(f"\r\n[staffetta] {sentence}\r\n".encode())

    async def title(self, text: str) -> None:
        """Show a short status in the terminal's title."""
        if self.shows:
            printable = "".join(character for character in text if character.isprintable())
            await self.write(f"\x1b]0;{printable}\x07".encode())

    def _write_now(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._sink, data)


def _setter(ready: asyncio.Future[None]) -> Callable[[], None]:
    return lambda: None if ready.done() else ready.set_result(None)


def _own_description(descriptor: int) -> int:
    """Open what ``descriptor`` is anew, non-blocking; the descriptor itself where that is impossible."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_APPEND | os.O_CLOEXEC
    try:
        name = os.ttyname(descriptor) if os.isatty(descriptor) else f"/dev/fd/{descriptor}"
        return os.open(name, flags)
    except OSError:
        return descriptor
