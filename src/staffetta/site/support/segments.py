"""The segment files of a recording: DATA frames to files while a session runs, and back.

Segment file, version 1. Integers are unsigned, big-endian::

    8 bytes   "STFSEG1\\n"
    u32       length of the header, then the header: UTF-8 JSON {"session", "generation", "opened" (µs since 1970)}
    per frame:
      u32     length of the body (10 or more)
      u32     CRC-32 of the body
      body:   u8 end (0 console, 1 Jump Client) · u64 arrival at the relay (µs since 1970) · the DATA message as sent

- A frame is written, in one append, before it is forwarded; there is no fsync per frame. What a killed process leaves
  is whole but for a torn last frame, which sealing drops.
- Sealed after 10 s or 1 MB: synced to disk and renamed to ``<sha256>.segment`` beside the open ones. It stays there,
  locked, until ``taken``: until the caller has moved it among the blobs in the transaction that records it. A process
  that dies in between loses nothing: the next start reports open and sealed left-overs again.
- Several generations use one folder at a time; a file in use is locked (flock) and never taken for a left-over.
"""

import fcntl
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from staffetta.kernel.errors import Damaged, NoSpace
from staffetta.kernel.files import sync_directory
from staffetta.site.support.errors import SupportError
from staffetta.wire import frames
from staffetta.wire.errors import FrameError
from staffetta.wire.vocabulary import EndName

MAGIC: Final = b"STFSEG1\n"
SEAL_SECONDS: Final = 10.0
SEAL_BYTES: Final = 1_000_000

_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">II")
_BODY = struct.Struct(">BQ")
_ENDS: Final = (EndName.CONSOLE, EndName.JUMP_CLIENT)


class SegmentDamaged(SupportError, Damaged):
    """A file is not a segment of version 1, or not a whole one."""

    code = "segment-damaged"
    http_status = Damaged.http_status
    exit_status = Damaged.exit_status


class RecordingFull(SupportError, NoSpace):
    """A frame could not be written; it must not be forwarded."""

    code = "recording-no-space"
    http_status = NoSpace.http_status
    exit_status = NoSpace.exit_status


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Whose frames a segment holds; ``opened`` in microseconds since 1970."""

    session: str
    generation: str
    opened: int


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A DATA frame of an end; ``arrived`` at the relay, in microseconds since 1970."""

    end: EndName
    arrived: int
    data: frames.Data


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A finished file, named by its content; ``path`` is where it waits to be taken. Times in µs since 1970."""

    header: SegmentHeader
    sha256: str
    size: int
    frames: int
    first: int
    last: int
    path: Path


@dataclass(slots=True)
class OpenSegment:
    """A segment file that is being written, or was detached for sealing. Only the recorder looks inside."""

    header: SegmentHeader
    path: Path
    descriptor: int
    opened: float
    size: int
    frames: int = field(default=0)


class Recorder:
    """The segment files of one gateway generation. ``write``, ``due`` and ``finish`` are quick and for the event loop.

    ``seal`` syncs to disk and may run in a thread; ``leftovers`` and ``taken`` too. ``now`` is the caller's monotonic
    clock in seconds, ``arrived`` microseconds since 1970.
    """

    def __init__(self, folder: Path, generation: str) -> None:
        self._folder = folder
        self._generation = generation
        self._open: dict[str, OpenSegment] = {}
        self._full: list[OpenSegment] = []
        self._waiting: dict[Path, int] = {}
        self._number = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, session: str, end: EndName, message: bytes, arrived: int, now: float) -> None:
        """Append a DATA message; on return it outlives this process. Raises RecordingFull, and leaves nothing half."""
        segment = self._open.get(session) or self._begin(session, arrived, now)
        _append(segment, _entry(end, arrived, message))
        segment.frames += 1
        if segment.size >= SEAL_BYTES:
            self._full.append(self._open.pop(session))

    def due(self, now: float) -> tuple[OpenSegment, ...]:
        """Segments to be sealed now, detached: full ones, and those opened ``SEAL_SECONDS`` ago."""
        return self._detach(
            [session for session, segment in self._open.items() if now - segment.opened >= SEAL_SECONDS],
            lambda _: True,
        )

    def finish(self, session: str) -> tuple[OpenSegment, ...]:
        """The segments of a session that has ended or left this gateway, detached."""
        return self._detach([session], lambda segment: segment.header.session == session)

    def finish_all(self) -> tuple[OpenSegment, ...]:
        """Every segment, detached: this generation leaves."""
        return self._detach(list(self._open), lambda _: True)

    def _detach(self, sessions: list[str], wanted: Callable[[OpenSegment], bool]) -> tuple[OpenSegment, ...]:
        detached = [segment for segment in self._full if wanted(segment)]
        self._full = [segment for segment in self._full if not wanted(segment)]
        for session in sessions:
            segment = self._open.pop(session, None)
            if segment is None:
                continue
            if segment.frames:
                detached.append(segment)
            else:  # its first frame found the disk full
                segment.path.unlink(missing_ok=True)
                os.close(segment.descriptor)
        return tuple(detached)

    def seal(self, segment: OpenSegment) -> SealedSegment:
        """Sync a detached segment to disk and name it by its content. It stays locked until ``taken``."""
        content = segment.path.read_bytes()
        sealed = _sealed(segment.descriptor, segment.path, content)
        if sealed is None:
            raise SegmentDamaged(f"{segment.path.name} holds no whole frame.")
        self._waiting[sealed.path] = segment.descriptor
        return sealed

    def taken(self, sealed: SealedSegment) -> None:
        """The segment is among the blobs and recorded: forget it. A copy that still lies here is removed."""
        sealed.path.unlink(missing_ok=True)
        descriptor = self._waiting.pop(sealed.path, None)
        if descriptor is not None:
            os.close(descriptor)

    def leftovers(self) -> tuple[SealedSegment, ...]:
        """Seal what killed processes left open and report what they left untaken; call at start, and now and then."""
        found: list[SealedSegment] = []
        for path in sorted(self._folder.iterdir()):
            if path.suffix not in (".open", ".segment") or path in self._waiting:
                continue
            descriptor = _lock(path)
            if descriptor is None:
                continue
            sealed = _sealed(descriptor, path, path.read_bytes())
            if sealed is None:
                path.unlink(missing_ok=True)
                os.close(descriptor)
                continue
            self._waiting[sealed.path] = descriptor
            found.append(sealed)
        return tuple(found)

    def _begin(self, session: str, arrived: int, now: float) -> OpenSegment:
        header = SegmentHeader(session, self._generation, arrived)
        while True:
            self._number += 1
            path = self._folder / f"{self._generation}-{self._number}.open"
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            except OSError as error:
                raise RecordingFull(f"A recording cannot be begun: {error.strerror}.") from None
            if _locked(descriptor, path):
                break
            os.close(descriptor)
        segment = OpenSegment(header, path, descriptor, now, 0)
        try:
            _append(segment, _head(header))
        except RecordingFull:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        self._open[session] = segment
        return segment


def read_segment(content: bytes) -> tuple[SegmentHeader, tuple[RecordedFrame, ...]]:
    """Everything in a sealed segment. Raises SegmentDamaged."""
    header, found, whole = _scan(content)
    if whole != len(content):
        raise SegmentDamaged(f"The segment is damaged at byte {whole} of {len(content)}.")
    return header, found


def _head(header: SegmentHeader) -> bytes:
    fields = {"session": header.session, "generation": header.generation, "opened": header.opened}
    text = json.dumps(fields, separators=(",", ":")).encode("utf-8")
    return MAGIC + _LENGTH.pack(len(text)) + text


def _entry(end: EndName, arrived: int, message: bytes) -> bytes:
    body = _BODY.pack(_ENDS.index(end), arrived) + message
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _append(segment: OpenSegment, entry: bytes) -> None:
    """All of it or nothing: a short write (a full disk) is taken back."""
    try:
        written = os.write(segment.descriptor, entry)
    except OSError as error:
        raise RecordingFull(f"The recording cannot be written: {error.strerror}.") from None
    if written != len(entry):
        os.ftruncate(segment.descriptor, segment.size)
        raise RecordingFull("The recording cannot be written: the disk is full.")
    segment.size += len(entry)


def _scan(content: bytes) -> tuple[SegmentHeader, tuple[RecordedFrame, ...], int]:
    """Header, whole frames, and how many bytes are whole. Raises SegmentDamaged if not even the header is."""
    try:
        if not content.startswith(MAGIC):
            raise ValueError("no segment")
        (length,) = _LENGTH.unpack_from(content, len(MAGIC))
        place = len(MAGIC) + _LENGTH.size + length
        fields = json.loads(content[place - length : place])
        header = SegmentHeader(str(fields["session"]), str(fields["generation"]), int(fields["opened"]))
    except (struct.error, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise SegmentDamaged("The file does not begin like a segment of version 1.") from None
    found: list[RecordedFrame] = []
    while len(content) - place >= _FRAME.size:
        length, check = _FRAME.unpack_from(content, place)
        body = content[place + _FRAME.size : place + _FRAME.size + length]
        frame = _frame_of(body) if len(body) == length and zlib.crc32(body) == check else None
        if frame is None:
            break
        found.append(frame)
        place += _FRAME.size + length
    return header, tuple(found), place


def _frame_of(body: bytes) -> RecordedFrame | None:
    if len(body) <= _BODY.size:
        return None
    end, arrived = _BODY.unpack_from(body)
    try:
        data = frames.decode(body[_BODY.size :])
    except FrameError:
        return None
    return RecordedFrame(_ENDS[end], arrived, data) if isinstance(data, frames.Data) and end < len(_ENDS) else None


def _sealed(descriptor: int, path: Path, content: bytes) -> SealedSegment | None:
    """Cut the torn end off, sync, rename to the hash. None if there is nothing whole to keep."""
    try:
        header, found, whole = _scan(content)
    except SegmentDamaged:
        return None
    if not found:
        return None
    os.ftruncate(descriptor, whole)
    os.fsync(descriptor)
    sha256 = hashlib.sha256(content[:whole]).hexdigest()
    resting = path.with_name(f"{sha256}.segment")
    path.replace(resting)
    sync_directory(resting.parent)
    arrivals = [frame.arrived for frame in found]
    return SealedSegment(header, sha256, whole, len(found), min(arrivals), max(arrivals), resting)


def _lock(path: Path) -> int | None:
    """An exclusive hold of a left-over, or None if it is in use or gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if _locked(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _locked(descriptor: int, path: Path) -> bool:
    """Whether the lock was got and the file is still the one with this name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
