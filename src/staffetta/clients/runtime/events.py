"""What happens to one end of a session while it is waited for, moves, is lost and resumes, and how far a file is."""

import dataclasses
import json
from datetime import datetime
from enum import StrEnum

from staffetta.kernel.clock import format_time


class Happening(StrEnum):
    """The kinds of event."""

    ATTACHED = "attached"  # the first connection of this end is accepted
    MOVED = "moved"  # another place took this end over, as it was asked to
    LOST = "lost"  # the connection is gone; input is held
    RESUMED = "resumed"  # another connection took its place
    PEER = "peer"  # the other end came or went
    ENDED = "ended"  # no more session


@dataclasses.dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event.

    ``generation`` and ``site_version`` are those of the gateway that holds this end (empty before the first attach);
    ``counter`` that of this end's newest attach. ``pause_ms``: how long input was held, in milliseconds, from the
    last sign of life to the other end's readiness; set when a hold is over. ``detail``: the reason, or "present" or
    "absent" of the peer.
    """

    at: datetime
    event: Happening
    generation: str
    site_version: str
    counter: int
    pause_ms: float | None = None
    detail: str | None = None

    def line(self) -> str:
        """Return the event as one line of JSON."""
        fields = dataclasses.asdict(self) | {"at": format_time(self.at)}
        return json.dumps(fields, separators=(",", ":")) + "\n"


@dataclasses.dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far a file has got: of ``size`` bytes ``moved`` were taken by the far end, or stored here."""

    at: datetime
    moved: int
    size: int | None

    def line(self) -> str:
        """Return the event as one line of JSON, ``event`` being "progress"."""
        fields = {"at": format_time(self.at), "event": "progress", "moved": self.moved, "size": self.size}
        return json.dumps(fields, separators=(",", ":")) + "\n"


@dataclasses.dataclass(frozen=True, slots=True)
class WaitEvent:
    """A session waits for a passive computer, which was ``woken``, or comes at the time ``expected`` by itself."""

    at: datetime
    woken: bool
    expected: str | None

    def line(self) -> str:
        """Return the event as one line of JSON, ``event`` being "waiting"."""
        fields = {"at": format_time(self.at), "event": "waiting", "woken": self.woken, "expected": self.expected}
        return json.dumps(fields, separators=(",", ":")) + "\n"
