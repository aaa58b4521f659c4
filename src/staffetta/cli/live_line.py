"""The line of what goes on now: written over in a terminal, else a plain line when that changes, or in a while."""

import shutil
import sys
import time
from typing import Final

import click

PLAIN_SECONDS: Final = 10.0
_CLEAR: Final = "\r\x1b[2K"


class LiveLine:
    """Writes to standard output: lines that stay, and beneath them the one of now."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._about = ""
        self._plain_at = 0.0

    def now(self, text: str, about: str) -> None:
        """Show what goes on. Where lines cannot be written over, a new ``about`` or ten seconds make one more."""
        if self._live:
            click.echo(f"{_CLEAR}{text[: shutil.get_terminal_size().columns - 1]}", nl=False)
        elif about != self._about or time.monotonic() - self._plain_at >= PLAIN_SECONDS:
            self._plain_at = time.monotonic()
            click.echo(text)
        self._about = about

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        click.echo(text)

    def clear(self) -> None:
        """Leave the terminal's line to what comes next."""
        if self._live:
            click.echo(_CLEAR, nl=False)
