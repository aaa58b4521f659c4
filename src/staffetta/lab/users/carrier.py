"""A technician who moves a file: to a remote computer at a steady rate, back again, and compares every byte each time.

The console is the public command. It goes on with one file after the other until asked to stop; a file that is under
way then is moved to its end. What this user calls a pause: so long the arriving file did not grow, or the console told
of one.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from staffetta.lab.users.acting import act
from staffetta.lab.users.growth import Growth

BLOCK: Final = 1_000_000
LOOK_SECONDS: Final = 0.1
AGAIN_SECONDS: Final = 1.0
LEAST_STALL: Final = 0.3
"""Seconds without growth that are worth showing."""
MOST_TOLD: Final = 50


@dataclass(slots=True)
class Moved:
    """What came of all the files so far."""

    sent: int = 0
    lost: int = 0
    doubled: int = 0
    files: int = 0
    sha256_ok: bool = True
    ended: bool = False
    why: str = ""


def write_random(path: Path, megabytes: int) -> str:
    """Write a file of random bytes and return its SHA-256."""
    sha256 = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            block = os.urandom(BLOCK)
            sha256.update(block)
            file.write(block)
    return sha256.hexdigest()


def compare_files(source: Path, arrived: Path) -> tuple[int, int]:
    """Return how many bytes of ``source`` are missing or others in ``arrived``, and how many are there too many."""
    if not arrived.exists():
        return source.stat().st_size, 0
    wrong = 0
    with source.open("rb") as ours, arrived.open("rb") as theirs:
        while block := ours.read(BLOCK):
            other = theirs.read(len(block))
            if other != block:
                wrong += len(block) - sum(one == two for one, two in zip(block, other, strict=False))
    return wrong, max(0, arrived.stat().st_size - source.stat().st_size)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; empty if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Carrier:
    """Runs one console command after the other."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._source: Path = given.folder / "source.bin"
        self._back: Path = given.folder / "back.bin"
        self._moved = Moved()
        self._growths: list[Growth] = []
        self._said = False

    async def work(self, stop: asyncio.Event) -> dict[str, Any]:
        """Move files until asked to stop or one cannot be moved; return the account."""
        given = self._given
        sha256 = await asyncio.to_thread(write_random, self._source, given.megabytes)
        there = ["send", given.computer, str(self._source), "--to", str(given.far), "--overwrite"]
        if given.limit:
            there += ["--limit", str(given.limit)]
        back = ["fetch", given.computer, str(given.far), "--to", str(self._back), "--overwrite"]
        began = time.time()
        while not stop.is_set() and not self._moved.ended:
            self._growths.append(Growth(given.far))
            await self._carry(there, given.far, sha256)
            if not stop.is_set() and not self._moved.ended:
                self._growths.append(Growth(self._back))
                await self._carry(back, self._back, sha256)
        moved = self._moved
        noted = [note for note in self._notes() if note.get("pause_ms") is not None]
        told = [(_ended(note) - note["pause_ms"] / 1000, note["pause_ms"] / 1000) for note in noted]
        seen = [stall for growth in self._growths for stall in growth.stalls(LEAST_STALL)]
        pauses = sorted([*told, *seen], key=lambda pause: -pause[1])
        return {
            "kind": "files",
            "began": round(began, 3),
            "finished": round(time.time(), 3),
            "pauses": [[round(at, 3), round(seconds, 3)] for at, seconds in sorted(pauses[:MOST_TOLD])],
            "ended": moved.ended,
            "longest_pause_ms": round(pauses[0][1] * 1000, 1) if pauses else 0.0,
            "sha256_ok": moved.sha256_ok,
            "sent": moved.sent,
            "lost": moved.lost,
            "doubled": moved.doubled,
            "files": moved.files,
            "why": moved.why,
        }

    async def _carry(self, command: list[str], arrived: Path, sha256: str) -> None:
        give_up = time.monotonic() + self._given.again
        await asyncio.to_thread(arrived.unlink, missing_ok=True)
        while True:
            sessions = self._sessions()
            status, output = await self._command(command)
            if status == 0:
                break
            # What never began has not ended; who has patience (``--again``) asks again.
            if self._sessions() > sessions or time.monotonic() > give_up:
                self._moved.ended = True
                self._moved.why = f"{command[0]} ended with {status}: {output[-500:]}"
                return
            await asyncio.sleep(AGAIN_SECONDS)
        self._say_moving()
        found = await asyncio.to_thread(sha256_of, arrived)
        self._moved.files += 1
        self._moved.sent += self._source.stat().st_size
        if found != sha256 or sha256 not in output:
            self._moved.sha256_ok = False
            lost, doubled = await asyncio.to_thread(compare_files, self._source, arrived)
            self._moved.lost += lost
            self._moved.doubled += doubled

    async def _command(self, command: list[str]) -> tuple[int | None, str]:
        """Run a console command to its end; return how it ended and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self._given.console,
            *command,
            "--state",
            str(self._given.state),
            "--events",
            str(self._given.events),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        talking = asyncio.ensure_future(process.communicate())
        while not talking.done():
            self._say_moving()
            await asyncio.wait({talking}, timeout=LOOK_SECONDS)
        return process.returncode, talking.result()[0].decode(errors="replace")

    def _sessions(self) -> int:
        """How many sessions the console has begun."""
        return sum(note["event"] == "attached" for note in self._notes())

    def _say_moving(self) -> None:
        """Say once that bytes move; look at each call how far the file has got."""
        self._growths[-1].look(time.time())
        if not self._said and any(note["event"] == "progress" and note["moved"] for note in self._notes()):
            self._said = True
            sys.stdout.write("moving\n")
            sys.stdout.flush()

    def _notes(self) -> list[dict[str, Any]]:
        """What the console has noted so far; a line that is being written is left for later."""
        path: Path = self._given.events
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _ended(note: dict[str, Any]) -> float:
    return datetime.fromisoformat(note["at"]).timestamp()


def main() -> None:
    """Read the options and move files until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--computer", required=True, help="the remote computer's name")
    parser.add_argument("--megabytes", type=int, required=True, help="the size of the file")
    parser.add_argument("--limit", type=float, default=0.0, help="megabytes a second on the way there")
    parser.add_argument("--again", type=float, default=0.0, help="seconds to try again when no session begins")
    parser.add_argument("--far", type=Path, required=True, help="where the file goes on the remote computer")
    parser.add_argument("--folder", type=Path, required=True, help="a folder of this user's own")
    parser.add_argument("--state", type=Path, required=True, help="the console's state")
    parser.add_argument("--events", type=Path, required=True, help="where the console notes what happens")
    parser.add_argument("console", nargs="+", help="the console's command")
    given = parser.parse_args()
    act(Carrier(given).work)


if __name__ == "__main__":
    main()
