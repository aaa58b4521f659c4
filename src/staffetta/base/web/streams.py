"""The live streams of this web process: server-sent events, and ending them in good order when the process goes.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
from typing import Final

HEARTBEAT_SECONDS: Final = 10.0
"""A comment is sent after so long without an event, so that a dead connection is noticed."""

HEARTBEAT: Final = b": still here\n\n"


class LiveStreams:
    """Told to move, every stream says `moved` and ends; the page opens it again wherever pages are served then."""

    def __init__(self) -> None:
        self.moving = asyncio.Event()
        self.open = 0

    def move(self) -> None:
        """End every stream, and every one that is opened from now on, with `moved`."""
        self.moving.set()

    def resume(self) -> None:
        """Serve streams (again)."""
        self.moving.clear()


LIVE: Final = LiveStreams()
"""Those of this process; who drains the process calls `LIVE.move()`."""


def message(event: str, data: object = None, sequence: int | None = None) -> bytes:
    """One server-sent event. `data` goes as JSON, which has no line breaks; `sequence` becomes the last id seen."""
    lines = [] if sequence is None else [f"id: {sequence}"]
    lines += [f"event: {event}", f"data: {json.dumps(data)}"]
    return ("\n".join(lines) + "\n\n").encode()
