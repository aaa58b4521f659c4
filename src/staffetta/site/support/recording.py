"""The recording of a session: the frames of any segments joined into one, and that as an asciicast.

Joining is a union on (end, channel, sequence): segments of any number of generations and appliances, with replays in
them, give each frame once. Within an end the end's own clock counts; the two ends' clocks are laid side by side by
the quickest arrival seen of each.

A recording may be long: frames are joined in a temporary database on the disk that goes with this process, and come out
of it one after the other.
"""

import codecs
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from staffetta.site.support.segments import RecordedFrame, SegmentDamaged
from staffetta.wire import frames, notes
from staffetta.wire.errors import FrameError
from staffetta.wire.vocabulary import Channel, EndName

_BEYOND: Final = 2**62
"""A number or a time (µs) that no session reaches, and the database could not add to another."""
_TABLES = """
PRAGMA temp_store = FILE;
PRAGMA cache_size = -4096;
CREATE TABLE kept (
  end TEXT, channel INTEGER, sequence INTEGER, arrived INTEGER, at INTEGER, payload BLOB,
  PRIMARY KEY (end, channel, sequence)
) WITHOUT ROWID;
CREATE TABLE rivals (
  end TEXT, channel INTEGER, sequence INTEGER, at INTEGER, payload BLOB,
  PRIMARY KEY (end, channel, sequence, at, payload)
) WITHOUT ROWID;
BEGIN;
"""
_KNOWN = "SELECT arrived, at, payload FROM kept WHERE end = ? AND channel = ? AND sequence = ?"
_PLACED = """
WITH began (end, at) AS (SELECT end, min(arrived - at) FROM kept GROUP BY end)
SELECT
  max(0, max(began.at + kept.at) OVER in_order) AS placed, kept.end, channel, sequence, kept.at, payload,
  sequence - 1 - coalesce(lag(sequence) OVER in_order, -1) AS missing
FROM kept JOIN began ON began.end = kept.end
WINDOW in_order AS (PARTITION BY kept.end, channel ORDER BY sequence)
ORDER BY placed, kept.end, channel, sequence
"""
_GAPS = """
SELECT end, channel, before + 1, sequence - 1 FROM (
  SELECT
    end, channel, sequence,
    coalesce(lag(sequence) OVER (PARTITION BY end, channel ORDER BY sequence), -1) AS before
  FROM kept
) WHERE sequence > before + 1 ORDER BY end, channel, sequence
"""
_CONFLICTS = """
SELECT count(*) - (SELECT count(*) FROM (SELECT DISTINCT end, channel, sequence FROM rivals)) FROM rivals
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames of an end that no segment holds: sequences ``first`` to ``last`` of a channel."""

    end: EndName
    channel: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame on the recording's own time line, in microseconds from its beginning.

    ``missing``: how many frames before it, of its end and channel, no segment holds.
    """

    at: int
    end: EndName
    data: frames.Data
    missing: int = 0


class Recording:
    """The frames of one session, joined as they are added, each once. Closing it removes it from the disk.

    Use by one thread at a time.
    """

    def __init__(self) -> None:
        self._disk = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._disk.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._disk.close()

    def add(self, recorded: Iterable[RecordedFrame]) -> None:
        """Add the frames of a segment. Of different frames with one number, that which arrived first is kept.

        Raises ``SegmentDamaged``, and adds none, when one has a number or a time that no session reaches.
        """
        found = tuple(recorded)
        if any(max(one.data.sequence, one.data.at, one.arrived) >= _BEYOND for one in found):
            raise SegmentDamaged("A frame in the segment has a number or a time that no session reaches.")
        for one in found:
            key = (one.end.value, one.data.channel, one.data.sequence)
            known = self._disk.execute(_KNOWN, key).fetchone()
            row = (one.arrived, one.data.at, one.data.payload)
            if known is not None and known[1:] != row[1:]:
                self._disk.executemany(
                    "INSERT OR IGNORE INTO rivals VALUES (?, ?, ?, ?, ?)", ((*key, *known[1:]), (*key, *row[1:]))
                )
            if known is None or one.arrived < known[0]:
                self._disk.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)", (*key, *row))

    @property
    def began(self) -> int:
        """When its first frame was, in µs since 1970; 0 when there is none."""
        first = self._disk.execute(_PLACED).fetchone()
        return 0 if first is None else int(first[0])

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is missing between the frames that are there (a dead appliance's unsealed segment)."""
        return tuple(Gap(EndName(end), *numbers) for end, *numbers in self._disk.execute(_GAPS))

    @property
    def conflicts(self) -> int:
        """How many frames claimed a number that another, different frame has."""
        return int(self._disk.execute(_CONFLICTS).fetchone()[0])

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames in the order of time."""
        began: int | None = None
        for placed, end, channel, sequence, at, payload, missing in self._disk.execute(_PLACED):
            began = placed if began is None else began
            yield TimedFrame(placed - began, EndName(end), frames.Data(channel, sequence, at, payload), missing)


def asciicast(
    recording: Recording,
    columns: int,
    rows: int,
    title: str = "",
    remarks: tuple[str, ...] = (),
    say: Callable[[str], str] = str,
) -> Iterator[str]:
    """The lines of an asciicast v2 file, each with its newline; ``columns`` and ``rows`` are the size at the start.

    "o" is what the remote shell wrote, "i" what the rep typed, "r" a new size, "m" the words that something is missing
    here. A character whose bytes came in two frames appears with the second; bytes that are no UTF-8 become U+FFFD.
    ``remarks`` say what is wrong with the recording as a whole; a player that does not know them passes them over.
    ``say`` puts the words of "m" into another language.
    """
    header: dict[str, object] = {"version": 2, "width": columns, "height": rows}
    header["timestamp"] = recording.began // 1_000_000
    if title:
        header["title"] = title
    if remarks:
        header["remarks"] = remarks
    yield json.dumps(header, ensure_ascii=False) + "\n"
    decoders = {end: codecs.getincrementaldecoder("utf-8")("replace") for end in EndName}
    last = 0
    for frame in recording.frames():
        last = frame.at
        if frame.missing and frame.data.channel == Channel.SHELL:
            yield _line(frame.at, "m", say(gap_words(frame)))
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


def gap_words(frame: TimedFrame) -> str:
    """What is missing before this frame, in words for who watches."""
    what = "of what the computer showed" if frame.end is EndName.JUMP_CLIENT else "of what was typed"
    return f"1 piece {what} is missing" if frame.missing == 1 else f"{frame.missing} pieces {what} are missing"


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
