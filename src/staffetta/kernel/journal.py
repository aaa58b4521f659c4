"""The step journal: an append-only file of JSON lines, each on the disk before its append returns.

Rules:
- One process holds a journal at a time (``flock``); another waits, or is refused at once.
- A line is whole or it is not there: a torn last line (power cut in mid-write) is dropped when the journal opens.
- A *gate*, when one listens, is told before and after every append and lets it go on; crash tests kill processes there.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from staffetta.kernel.errors import Conflict, Damaged
from staffetta.kernel.files import sync_directory

GATE_VARIABLE: Final = "STAFFETTA_JOURNAL_GATE"
"""Environment variable: path of the unix socket on which a crash test listens as the gate."""


class JournalHeld(Conflict):
    """Another process has the journal open."""

    code = "journal-held"


class JournalDamaged(Damaged):
    """A line before the last cannot be read."""

    code = "journal-damaged"


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled line: its number, from 1, and its data."""

    sequence: int
    data: dict[str, Any]


class Gate(Protocol):
    """Is told before and after each append, and returns when it may go on."""

    def pass_through(self, journal: str, when: Literal["before", "after"], entry: Mapping[str, Any]) -> None: ...


class SocketGate:
    """A gate that asks over a unix socket: one JSON line out, one line back."""

    def __init__(self, path: str) -> None:
        self._path = path

    def pass_through(self, journal: str, when: Literal["before", "after"], entry: Mapping[str, Any]) -> None:
        """Tell the listener and wait for its line; with no listener left, go on."""
        line = json.dumps({"journal": journal, "when": when, "entry": entry, "pid": os.getpid()}) + "\n"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            connection.sendall(line.encode())
            connection.recv(64)


def gate_from_environment() -> Gate | None:
    """Return the gate that ``STAFFETTA_JOURNAL_GATE`` names, or none."""
    path = os.environ.get(GATE_VARIABLE)
    return SocketGate(path) if path else None


def _parse(raw: bytes, path: Path) -> tuple[list[Entry], int]:
    """Return the whole entries and how many bytes they take; what follows is a torn line."""
    entries: list[Entry] = []
    whole = 0
    for line in raw.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            data = json.loads(line)
        except ValueError:
            if whole + len(line) == len(raw):
                break
            raise JournalDamaged(
                f"{path}: line {len(entries) + 1} is damaged. Make a support bundle; do not edit the file."
            ) from None
        entries.append(Entry(len(entries) + 1, data))
        whole += len(line)
    return entries, whole


def read_journal(path: Path) -> tuple[Entry, ...]:
    """Return a journal's entries without holding it; a missing file has none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    return tuple(_parse(raw, path)[0])


class Journal:
    """A journal held for writing; ``close`` (or the process's end) lets go of it."""

    def __init__(self, path: Path, gate: Gate | None = None) -> None:
        """Open or create it; raises ``JournalHeld`` when another process has it."""
        self.path = path
        self._gate = gate
        created = not path.exists()
        self._file = path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._file.fileno()), path.stat()):
                raise BlockingIOError  # its holder has just begun it anew: this is the old one
        except OSError:
            self._file.close()
            raise JournalHeld(f"{path} is held by another process.") from None
        if created:
            path.chmod(0o600)
            sync_directory(path.parent)
        entries, whole = _parse(path.read_bytes(), path)
        os.ftruncate(self._file.fileno(), whole)
        self._entries = entries

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first."""
        return tuple(self._entries)

    def append(self, data: Mapping[str, Any]) -> Entry:
        """Write one entry and return it once it is on the disk; a failed write leaves no part of it."""
        entry = Entry(len(self._entries) + 1, dict(data))
        line = json.dumps(entry.data, separators=(",", ":"), sort_keys=True).encode() + b"\n"
        if self._gate:
            self._gate.pass_through(self.path.stem, "before", entry.data)
        size = os.fstat(self._file.fileno()).st_size
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._file.fileno(), view) :]
            os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), size)
            raise
        self._entries.append(entry)
        if self._gate:
            self._gate.pass_through(self.path.stem, "after", entry.data)
        return entry

    def close(self) -> None:
        """Let go of the journal."""
        self._file.close()
