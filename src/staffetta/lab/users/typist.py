"""A technician at the console: types a counter into a remote program every 50 ms and watches it come back.

The console is the public command in a terminal of its own. With ``--break drop|double`` a filter between typist and
terminal drops or doubles one keystroke, to show that the report sees it.
"""

import argparse
import asyncio
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

from staffetta.lab.measures import compare, longest_pause, pauses
from staffetta.lab.users.acting import act, pause

TOKEN = re.compile(rb"\d{6};")
NOISE = re.compile(rb"\x1b\][^\x07]*\x07|\r\n\[staffetta\] [^\r\n]*\r\n")
"""What the console itself writes into the terminal: its title, and a line when a pause is long."""
START_SECONDS = 30.0
LAST_ECHO_SECONDS = 20.0
LEAST_PAUSE = 0.15
"""Seconds from a key to its echo that are worth showing."""
MOST_TOLD = 50


class Terminal:
    """The console command in a pseudo-terminal: bytes typed into it, bytes of the remote computer it shows."""

    def __init__(self, command: list[str]) -> None:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, close_fds=True
        )
        os.close(slave)
        self._master = master
        self._raw = bytearray()
        self.shown = b""
        self.changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._raw += data
        self.shown = NOISE.sub(b"", self._raw)
        self.changed.set()

    def type(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self._master, keys)

    async def wait_for(self, text: bytes, seconds: float, start: int = 0) -> int:
        """Return the position after ``text`` once it is shown; raise ``TimeoutError`` naming what was shown instead."""
        deadline = time.monotonic() + seconds
        while (found := self.shown.find(text, start)) < 0:
            self.changed.clear()
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TimeoutError(f"{text!r} was not shown; instead: {self.shown[-600:]!r}")
            try:
                await asyncio.wait_for(self.changed.wait(), 0.2)
            except TimeoutError:
                continue
        return found + len(text)

    def close(self) -> None:
        """End the console if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


async def work(stop: asyncio.Event, given: argparse.Namespace) -> dict[str, Any]:
    """Start the console, start the echo program on the far side, type until asked to stop, then compare."""
    terminal = Terminal(given.console)
    try:
        return await _type(stop, terminal, given)
    finally:
        terminal.close()


async def _type(stop: asyncio.Event, terminal: Terminal, given: argparse.Namespace) -> dict[str, Any]:
    fault, _, place = given.break_at.partition("@")
    echo = [given.python, str(given.echo), str(given.file)]
    if place == "echo":
        echo += [fault, "140"]
    await terminal.wait_for(b"$ " if os.geteuid() else b"# ", START_SECONDS)
    terminal.type(shlex.join(echo).encode() + b"\r")
    start = await terminal.wait_for(b"READY", START_SECONDS)
    sys.stdout.write("typing\n")
    sys.stdout.flush()
    sent = bytearray()
    sent_at: list[float] = []
    echoed_at: list[float] = []
    scanned = start

    def look() -> None:
        nonlocal scanned
        for match in TOKEN.finditer(terminal.shown, scanned):
            echoed_at.append(time.monotonic())
            scanned = match.end()

    number = 0
    while not stop.is_set() and terminal.process.poll() is None:
        due = time.monotonic() + given.interval
        keys = b"%06d;" % number
        sent += keys
        sent_at.append(time.monotonic())
        if place == "typist" and number == 20:
            keys = keys[1:] if fault == "drop" else keys[:1] + keys
        terminal.type(keys)
        number += 1
        while (left := due - time.monotonic()) > 0:
            terminal.changed.clear()
            await _changed(terminal, left)
            look()
    deadline = time.monotonic() + LAST_ECHO_SECONDS
    while len(echoed_at) < len(sent_at) and time.monotonic() < deadline and terminal.process.poll() is None:
        await pause(asyncio.Event(), 0.02)
        look()
    ended = terminal.process.poll() is not None
    if not ended:
        terminal.type(b"Q")
        await terminal.wait_for(b"DONE", LAST_ECHO_SECONDS, start)
        terminal.type(b"exit\r")
    shown = terminal.shown[start:].partition(b"DONE")[0]
    written = given.file.read_bytes() if given.file.exists() else b""
    if given.times:
        given.times.write_text(json.dumps({"sent_at": sent_at, "echoed_at": echoed_at}))
    difference = compare(bytes(sent), written) | compare(bytes(sent), shown)
    wall = time.time() - time.monotonic()
    waits = sorted(pauses(sent_at, echoed_at, time.monotonic(), LEAST_PAUSE), key=lambda wait: -wait[1])[:MOST_TOLD]
    return {
        "kind": "shell",
        "began": round(sent_at[0] + wall, 3) if sent_at else None,
        "finished": round(time.time(), 3),
        "pauses": [[round(begin + wall, 3), round(seconds, 3)] for begin, seconds in sorted(waits)],
        "ended": ended,
        "longest_pause_ms": round(longest_pause(sent_at, echoed_at, time.monotonic()) * 1000, 1),
        "sent": len(sent),
        "lost": difference.lost,
        "doubled": difference.doubled,
        "typed": bytes(sent).decode(),
    }


async def _changed(terminal: Terminal, seconds: float) -> None:
    try:
        await asyncio.wait_for(terminal.changed.wait(), seconds)
    except TimeoutError:
        return


def main() -> None:
    """Read the options and type until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, required=True, help="the file the echo program writes to")
    parser.add_argument("--echo", type=Path, required=True, help="the echo program")
    parser.add_argument("--python", default="python3", help="the remote computer's Python")
    parser.add_argument("--interval", type=float, default=0.05)
    parser.add_argument("--times", type=Path, help="write when each token was typed and seen (monotonic seconds)")
    parser.add_argument("--break", dest="break_at", default="", help="drop or double, @typist or @echo")
    parser.add_argument("console", nargs="+", help="the console's command")
    given = parser.parse_args()
    act(lambda stop: work(stop, given))


if __name__ == "__main__":
    main()
