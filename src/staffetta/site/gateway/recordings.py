"""The gateway's recordings: frames to segment files in the event loop, sealing and handing over in a database thread.

A sealed segment goes among the blobs in the transaction that records it. What cannot be handed over now (a busy
database, a full disk) is tried again; what a killed process left, this or another generation's, is taken over.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from staffetta.kernel.log import get_logger
from staffetta.site.support import service as support
from staffetta.site.support.errors import SessionUnknown
from staffetta.site.support.segments import OpenSegment, Recorder, SealedSegment, SegmentDamaged
from staffetta.wire.vocabulary import EndName

_log = get_logger(__name__)

Later = Callable[..., None]
"""Runs a function with its arguments in a database thread, after what was given before."""

FOLDER: Final = "recordings-open"


class Recordings:
    """Writes, seals and hands over the segments of one gateway process."""

    def __init__(self, folder: Path, generation: str) -> None:
        self._recorder = Recorder(folder, generation)
        self._unsealed: list[OpenSegment] = []
        self._untaken: list[SealedSegment] = []

    def write(self, session: str, end: EndName, message: bytes) -> None:
        """Append a DATA message; on return it outlives this process. Raises ``RecordingFull``."""
        self._recorder.write(session, end, message, time.time_ns() // 1000, time.monotonic())

    def seal_due(self, later: Later) -> None:
        """Seal what is full or old enough, and try again what failed before."""
        for segment in self._recorder.due(time.monotonic()):
            later(self._seal, segment)
        unsealed, self._unsealed = self._unsealed, []
        for segment in unsealed:
            later(self._seal, segment)
        untaken, self._untaken = self._untaken, []
        for sealed in untaken:
            later(self._take, sealed)

    def seal(self, session: str, later: Later) -> None:
        """Seal what there is of a session that has ended or left."""
        for segment in self._recorder.finish(session):
            later(self._seal, segment)

    def seal_all(self, later: Later) -> None:
        """Seal everything: this gateway leaves."""
        for segment in self._recorder.finish_all():
            later(self._seal, segment)

    def take_over(self, later: Later) -> None:
        """Seal and hand over what processes that are gone have left; a segment in use is locked and stays."""
        later(self._take_leftovers)

    # In a database thread, one after the other

    def _seal(self, segment: OpenSegment) -> None:
        try:
            sealed = self._recorder.seal(segment)
        except SegmentDamaged as error:
            _log.error("a segment could not be sealed: %s", error.message)
            return
        except OSError:
            self._unsealed.append(segment)
            raise
        self._take(sealed)

    def _take(self, sealed: SealedSegment) -> None:
        try:
            support.add_segment(sealed.header.session, sealed.path, sealed.sha256, sealed.size)
        except SessionUnknown:
            _log.error("a recording's segment stays where it is: its session is unknown", extra={"path": sealed.path})
            return
        except Exception:
            self._untaken.append(sealed)
            raise
        self._recorder.taken(sealed)

    def _take_leftovers(self) -> None:
        for sealed in self._recorder.leftovers():
            _log.warning("a killed process's segment is taken over", extra={"session": sealed.header.session})
            self._take(sealed)
