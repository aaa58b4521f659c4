"""The messages inside channel 0, in DATA frames: the two ends' notes to each other, recorded as what they send is.

``parse_note`` gives one of the classes here or ``Unknown``; what holds for fields in ``wire.messages`` holds here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from staffetta.wire import fields as wire_fields
from staffetta.wire import frames
from staffetta.wire.fields import Counter, Hash, Name, Range, Size
from staffetta.wire.messages import Unknown


@dataclass(frozen=True, slots=True)
class Resize:
    """Channel 0, console to Jump Client: the terminal has this size now, in characters."""

    TYPE: ClassVar[str] = "resize"
    columns: Annotated[int, Range(1, 1000)]
    rows: Annotated[int, Range(1, 1000)]


@dataclass(frozen=True, slots=True)
class Exit:
    """Channel 0, Jump Client to console: the shell has ended with this status.

    ``output`` is how many bytes it wrote on channel 1 in all: channels overtake each other, so the console has
    everything only once it has that many.
    """

    TYPE: ClassVar[str] = "exit"
    status: Annotated[int, Range(-255, 255)]
    output: Counter = 0


class Direction(StrEnum):
    """Which way a file goes: ``send`` to the remote computer, ``fetch`` from it."""

    SEND = "send"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class Transferred:
    """Channel 0, each end: how the transfer on ``channel`` ended, just before the end's last word there.

    ``outcome`` is "stored" or the code of what went wrong. ``size`` and ``sha256`` are of what was offered and moved,
    as far as this end knows; ``path`` is that on the remote computer. The site notes it in the session's story.
    """

    TYPE: ClassVar[str] = "transferred"
    channel: Annotated[int, Range(1, 63)]
    direction: Direction
    name: Name
    outcome: Annotated[str, Size(1, 64)]
    path: Annotated[str, Size(0, 1024)] = ""
    size: Annotated[int, Range(0, 2**63 - 1)] | None = None
    sha256: Hash | None = None


Note = Resize | Exit | Transferred


def parse_note(payload: bytes) -> Note | Unknown:
    """The message in one DATA payload of channel 0. Raises FrameError if it is none."""
    values = frames.read_control(payload)
    match values.kind:
        case Resize.TYPE:
            return wire_fields.read(Resize, values.fields)
        case Exit.TYPE:
            return wire_fields.read(Exit, values.fields)
        case Transferred.TYPE:
            return wire_fields.read(Transferred, values.fields)
        case other:
            return Unknown(other)


def encode_note(note: Note) -> bytes:
    """The payload of one DATA frame of channel 0."""
    return frames.encode(frames.Control(note.TYPE, wire_fields.write(note)))[1:]
