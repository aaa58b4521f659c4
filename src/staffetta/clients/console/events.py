"""The file in which a program that watches a console reads what happened: JSON lines, each flushed at once."""

from pathlib import Path
from typing import IO, Self

from staffetta.clients.runtime.events import ProgressEvent, SessionEvent, WaitEvent


class EventFile:
    """Writes events to a file as they happen; without a path it writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None if path is None else path.open("a", encoding="utf-8")

    def write(self, event: SessionEvent | ProgressEvent | WaitEvent) -> None:
        """Append one event and flush it."""
        if self._file is not None:
            self._file.write(event.line())
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
