"""The two halves of one channel at one end, and how much may be in them: numbers and bytes, no messages.

- What is sent is kept, numbered, until the far application has consumed it; sending again starts at any kept number.
- Bytes are those of whole frames, header included.
"""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

from staffetta.wire import frames
from staffetta.wire.errors import FrameError, Problem

MAX_CHANNELS: Final = 64
"""Channels are numbered below this, so that windows bound what a far end can make this one keep."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes. ``payload``: of one frame; ``window``: of a channel; ``hold``: in all; ``reserve``: of hold for channel 0.

    Both ends of version 1 use the defaults; smaller ones are for tests.
    """

    payload: int = frames.MAX_PAYLOAD
    window: int = 256 * 1024
    hold: int = 4 * 1024 * 1024
    reserve: int = 64 * 1024

    def __post_init__(self) -> None:
        frame = self.payload + frames.DATA_HEADER
        if not (1 <= self.payload <= frames.MAX_PAYLOAD and 2 * frame <= self.window):
            raise ValueError("a window holds at least two frames")
        if not frame <= self.reserve <= self.hold - frame:
            raise ValueError("hold has room for a frame beside the reserve, and the reserve for one")


class Outgoing:
    """One channel's sending side: ``kept`` are the encoded frames from ``base`` on; ``cursor`` is the next to send."""

    __slots__ = ("base", "cursor", "in_flight", "kept", "kept_bytes", "next", "reached")

    def __init__(self) -> None:
        self.kept: deque[bytes] = deque()
        self.base = 0
        self.cursor = 0
        self.next = 0
        self.reached = 0
        self.in_flight = 0
        self.kept_bytes = 0

    def add(self, message: bytes) -> None:
        """Keep an encoded frame that was given the number ``next``."""
        self.kept.append(message)
        self.kept_bytes += len(message)
        self.next += 1

    def sendable(self, window: int) -> bytes | None:
        """The next frame if the window has room for it; it then counts as sent."""
        if self.cursor == self.next:
            return None
        message = self.kept[self.cursor - self.base]
        if self.in_flight + len(message) > window:
            return None
        self.cursor += 1
        self.reached = max(self.reached, self.cursor)
        self.in_flight += len(message)
        return message

    def consumed(self, next_: int) -> None:
        """Forget every frame below ``next_``; an older statement than the newest changes nothing."""
        if next_ > self.reached:
            raise FrameError(Problem.BAD_ACK, f"{next_} was never sent")
        while self.base < next_:
            size = len(self.kept.popleft())
            self.kept_bytes -= size
            if self.base < self.cursor:
                self.in_flight -= size
            self.base += 1
        self.cursor = max(self.cursor, self.base)

    def rewind(self, expect: int) -> int:
        """Send again from ``expect`` on; how many frames that is."""
        if expect > self.reached:
            raise FrameError(Problem.BAD_ACK, f"{expect} was never sent")
        self.cursor = max(expect, self.base)
        self.in_flight = sum(map(len, islice(self.kept, self.cursor - self.base)))
        return self.reached - self.cursor


class Incoming:
    """One channel's receiving side: ``expect`` is the next to arrive, ``taken`` the next to be consumed."""

    __slots__ = ("acked", "expect", "since_ack", "taken", "unconsumed", "waiting")

    def __init__(self) -> None:
        self.expect = 0
        self.taken = 0
        self.acked = 0
        self.waiting: deque[int] = deque()
        self.unconsumed = 0
        self.since_ack = 0
