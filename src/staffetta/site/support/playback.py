"""A session's recording for playing back: its segments' blobs joined into one asciicast v2 file, line by line.

However long it is, one segment at a time is in memory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.utils import translation
from django.utils.translation import gettext as _

from staffetta.kernel.log import get_logger
from staffetta.site.data import blobs
from staffetta.site.data.errors import BlobMissing
from staffetta.site.data.models import Blob
from staffetta.site.support.errors import SessionUnknown
from staffetta.site.support.models import SessionReport, SessionSegment
from staffetta.site.support.recording import Recording, asciicast
from staffetta.site.support.segments import SegmentDamaged, read_segment
from staffetta.ui.sentences import say
from staffetta.wire.messages import ShellOptions
from staffetta.wire.vocabulary import Channel

_log = get_logger(__name__)

START: Final = ShellOptions()
"""The terminal's size until the recording itself tells another."""


def asciicast_lines(session_id: str) -> Iterator[bytes]:
    """Return an iterator over the recording's lines. Raises ``SessionUnknown``.

    A segment that is missing or damaged does not keep the good ones back: it is left out, and the title says so in the
    language of who asks. The database is asked before this returns, the files are read when the first line is.
    """
    report = SessionReport.objects.filter(pk=session_id).first()
    if report is None:
        raise SessionUnknown(_("There is no report of such a session."))
    files = tuple(_file(segment.sha256) for segment in report.segments.all())
    return _lines(f"{report.rep_name}, {report.client_name}", files, translation.get_language())


def count_absent(session_id: str) -> int:
    """Return how many of a session's segments are in the records but not among the bytes of this appliance (yet)."""
    here = Blob.objects.values("sha256")
    return SessionSegment.objects.filter(report_id=session_id).exclude(sha256__in=here).count()


def _lines(title: str, files: tuple[Path | None, ...], language: str | None) -> Iterator[bytes]:
    def told(text: str) -> str:  # the lines are made after the view has returned, and with it its language
        with translation.override(language):
            return say(text)

    with Recording() as recording:
        left_out = 0
        for file in files:
            try:
                recording.add(read_segment(file.read_bytes())[1] if file is not None else ())
                left_out += file is None
            except (FileNotFoundError, SegmentDamaged):
                left_out += 1
                _log.exception("a segment is left out of a recording", extra={"segment": str(file)})
        remarks = (told(f"{left_out} of {len(files)} segments missing or damaged"),) if left_out else ()
        gaps = sum(gap.channel == Channel.SHELL for gap in recording.gaps)
        if said := (*remarks, *((told("1 gap" if gaps == 1 else f"{gaps} gaps"),) if gaps else ())):
            title += f" ({', '.join(said)})"
        for line in asciicast(recording, START.columns, START.rows, title, remarks, told):
            yield line.encode()


def _file(sha256: str) -> Path | None:
    try:
        return blobs.path_of(sha256)
    except BlobMissing:
        _log.exception("a segment is left out of a recording", extra={"segment": sha256})
        return None
