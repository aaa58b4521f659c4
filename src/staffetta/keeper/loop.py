"""Waiting: for descriptors that become readable, for signals and for times; and one line of log for what happened."""

import json
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Loop:
    """Calls back what is watched, one event after the other, in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, descriptor: int, callback: Callable[[], object]) -> None:
        """Call `callback` whenever the descriptor is readable (a pidfd is when its process has ended)."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def watches(self, descriptor: int) -> bool:
        """Whether the descriptor is being watched."""
        return descriptor in self._selector.get_map()

    def unwatch(self, descriptor: int) -> None:
        """Stop watching, before the descriptor is closed."""
        if self.watches(descriptor):
            self._selector.unregister(descriptor)

    def catch_signals(self, callback: Callable[[], object]) -> None:
        """Call back on SIGTERM and SIGINT, from the loop and never in the middle of something."""
        hearing, speaking = self._wakeup = socket.socketpair()
        hearing.setblocking(False)
        speaking.setblocking(False)
        signal.set_wakeup_fd(speaking.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.watch(hearing.fileno(), lambda: (hearing.recv(4096), callback()))

    def turn(self, due: float | None) -> None:
        """Wait for events, at most until the monotonic time `due`, and call back for each."""
        for key, _ in self._selector.select(None if due is None else max(0.0, due - time.monotonic())):
            # What an event before this one ended is not there any more.
            if self._selector.get_map().get(key.fd) is key:
                key.data()


def log(level: str, message: str, **ids: object) -> None:
    """One JSON object on one line of standard error."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"at": at, "level": level, "program": "keeper", "message": message} | ids
    sys.stderr.write(json.dumps(line, default=str) + "\n")
    sys.stderr.flush()
