"""The recording of a session: the frames of any segments joined into one, and that as an asciicast.

Joining is a union on (end, channel, sequence): segments of any number of generations and appliances, with replays in
them, give each frame once. Within an end the end's own clock counts; the two ends' clocks are laid side by side by
the quickest arrival seen of each.
"""

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from staffetta.site.support.segments import RecordedFrame
from staffetta.wire import frames, notes
from staffetta.wire.errors import FrameError
from staffetta.wire.messages import Channel, EndName


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames of an end that no segment holds: sequences ``first`` to ``last`` of a channel."""

    end: EndName
    channel: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame on the recording's own time line, in microseconds from its beginning."""

    at: int
    end: EndName
    data: frames.Data


@dataclass(frozen=True, slots=True)
class Recording:
    """The joined frames of a session in the order of time, each once.

    ``began``: µs since 1970. ``gaps``: what is missing (a dead appliance's unsealed segment). ``conflicts``: how many
    frames claimed a number that another, different frame has; the one that arrived first was kept.
    """

    began: int
    frames: tuple[TimedFrame, ...]
    gaps: tuple[Gap, ...]
    conflicts: int


_Placed = tuple[int, EndName, int, int, frames.Data]


def join(recorded: Iterable[RecordedFrame]) -> Recording:
    """The union of any segments' frames of one session."""
    kept: dict[tuple[EndName, int, int], RecordedFrame] = {}
    rivals: dict[tuple[EndName, int, int], set[frames.Data]] = {}
    for frame in recorded:
        key = (frame.end, frame.data.channel, frame.data.sequence)
        known = kept.setdefault(key, frame)
        if known.data != frame.data:
            rivals.setdefault(key, set()).update((known.data, frame.data))
        if frame.arrived < known.arrived:
            kept[key] = frame
    began_of_end = {
        end: min((frame.arrived - frame.data.at for frame in kept.values() if frame.end is end), default=0)
        for end in EndName
    }
    placed: list[_Placed] = []
    reached: dict[tuple[EndName, int], int] = {}
    for (end, channel, sequence), frame in sorted(kept.items(), key=lambda item: item[0]):
        at = max(began_of_end[end] + frame.data.at, reached.get((end, channel), 0))
        reached[end, channel] = at
        placed.append((at, end, channel, sequence, frame.data))
    placed.sort(key=lambda item: item[:4])
    began = placed[0][0] if placed else 0
    timed = tuple(TimedFrame(at - began, end, data) for at, end, _, _, data in placed)
    return Recording(began, timed, _gaps(kept), sum(len(different) - 1 for different in rivals.values()))


def asciicast(recording: Recording, columns: int, rows: int, title: str = "") -> Iterator[str]:
    """The lines of an asciicast v2 file, each with its newline; ``columns`` and ``rows`` are the size at the start.

    "o" is what the remote shell wrote, "i" what the rep typed, "r" a new size. A character whose bytes came in two
    frames appears with the second; bytes that are no UTF-8 become U+FFFD.
    """
    header: dict[str, object] = {"version": 2, "width": columns, "height": rows}
    header["timestamp"] = recording.began // 1_000_000
    if title:
        header["title"] = title
    yield json.dumps(header, ensure_ascii=False) + "\n"
    decoders = {end: codecs.getincrementaldecoder("utf-8")("replace") for end in EndName}
    last = 0
    for frame in recording.frames:
        last = frame.at
        if frame.data.channel == Channel.SHELL:
            text = decoders[frame.end].decode(frame.data.payload)
            if text:
                yield _line(frame.at, "o" if frame.end is EndName.JUMP_CLIENT else "i", text)
        elif (size := _resize(frame)) is not None:
            yield _line(frame.at, "r", f"{size.columns}x{size.rows}")
    for end, decoder in decoders.items():
        rest = decoder.decode(b"", final=True)
        if rest:
            yield _line(last, "o" if end is EndName.JUMP_CLIENT else "i", rest)


def _line(at: int, kind: str, text: str) -> str:
    return json.dumps([round(at / 1_000_000, 6), kind, text], ensure_ascii=False) + "\n"


def _resize(frame: TimedFrame) -> notes.Resize | None:
    """The new size in a frame, if it is one; a note that cannot be read is none."""
    if frame.data.channel != Channel.NOTES or frame.end is not EndName.CONSOLE:
        return None
    try:
        note = notes.parse_note(frame.data.payload)
    except FrameError:
        return None
    return note if isinstance(note, notes.Resize) else None


def _gaps(kept: Iterable[tuple[EndName, int, int]]) -> tuple[Gap, ...]:
    numbers: dict[tuple[EndName, int], set[int]] = {}
    for end, channel, sequence in kept:
        numbers.setdefault((end, channel), set()).add(sequence)
    found: list[Gap] = []
    for (end, channel), present in sorted(numbers.items()):
        expected = 0
        for sequence in sorted(present):
            if sequence > expected:
                found.append(Gap(end, channel, expected, sequence - 1))
            expected = sequence + 1
    return tuple(found)
