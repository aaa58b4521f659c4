"""Run with the site's settings: makes sessions as a gateway would, among them one with a recording that has a gap.

Prints their ids as JSON, by name.
"""

import json
import os
import tempfile
from datetime import timedelta
from pathlib import Path

import django
from django.conf import settings

django.setup()

from own_site import PASSWORD, enrolled  # noqa: E402

from staffetta.kernel.clock import utc_now  # noqa: E402
from staffetta.site.accounts.models import Account  # noqa: E402
from staffetta.site.data import blobs  # noqa: E402
from staffetta.site.data.models import Blob  # noqa: E402
from staffetta.site.support import service  # noqa: E402
from staffetta.site.support.models import SessionSegment  # noqa: E402
from staffetta.site.support.segments import Recorder  # noqa: E402
from staffetta.wire import frames  # noqa: E402
from staffetta.wire.notes import Direction, Transferred  # noqa: E402
from staffetta.wire.vocabulary import EndName  # noqa: E402

SHOWN = "shown by the remote computer"


def record(session: str, texts: list[tuple[EndName, int, float, bytes]]) -> None:
    """Record frames (end, sequence, seconds, bytes) as one generation's gateway does, and hand the segments over."""
    with tempfile.TemporaryDirectory(dir=settings.STAFFETTA_SITE_FOLDER) as folder:
        recorder = Recorder(Path(folder), f"site-{os.urandom(3).hex()}")
        for end, sequence, seconds, text in texts:
            at = round(seconds * 1_000_000)
            recorder.write(session, end, frames.encode(frames.Data(1, sequence, at, text)), 10**15 + at, 0.0)
        for segment in recorder.finish(session):
            sealed = recorder.seal(segment)
            service.add_segment(session, sealed.path, sealed.sha256, sealed.size)
            recorder.taken(sealed)


def attach(session: str, end: str, counter: int, generation: str, at: float) -> None:
    """Attach an end, ``at`` seconds after the session began."""
    began = service.session(session).opened_at
    service.note_attached(session, end, counter, generation, "1.0", began + timedelta(seconds=at))


def open_session(client: str, kind: str = "shell", **options: bool) -> str:
    """Open a session of the administrator's."""
    return service.open_session(admin.pk, client, kind, **options).id


admin = Account.objects.get()
admin.set_password(PASSWORD)
admin.must_change_password = False
admin.save()
till, printer = enrolled("till-3"), enrolled("printer-cellar")
told: dict[str, str] = {}

told["gap"] = session = open_session(till)
now = utc_now()
for end in ("console", "jump-client"):
    attach(session, end, 1, "site-aaaaaaaaaaaaaaaaaaaaaaaaaa", 0.2)
    attach(session, end, 2, "site-bbbbbbbbbbbbbbbbbbbbbbbbbb", 8)
service.note_detached(session, "console", 2, now + timedelta(seconds=20), "lost")
attach(session, "console", 3, "site-bbbbbbbbbbbbbbbbbbbbbbbbbb", 21.5)
ours, theirs = EndName.JUMP_CLIENT, EndName.CONSOLE
shown = [
    (ours, n, 0.25 * n, b"\x1b[32mtill-3\x1b[0m:~$ line %d of what is %s\r\n" % (n, SHOWN.encode())) for n in range(40)
]
record(session, [*shown[:20], (theirs, 0, 1.0, b"ls\r"), (theirs, 1, 2.0, b"df\r")])
record(session, shown[25:])
service.end_session(session, "console", now + timedelta(minutes=2, seconds=12))

told["whole"] = session = open_session(printer)
attach(session, "console", 1, "site-aaaaaaaaaaaaaaaaaaaaaaaaaa", 0.2)
attach(session, "jump-client", 1, "site-aaaaaaaaaaaaaaaaaaaaaaaaaa", 0.2)
record(session, shown)
service.end_session(session, "jump-client")

told["absent"] = session = open_session(printer)
record(session, [(ours, 40, 10.0, b"bye\r\n")])
gone = SessionSegment.objects.get(report_id=session).sha256
record(session, shown)
service.end_session(session, "silent")
# As on an appliance that has the record and not yet the bytes.
blobs.path_of(gone).unlink()
Blob.objects.filter(pk=gone).delete()

told["running"] = session = open_session(till)
attach(session, "console", 1, "site-aaaaaaaaaaaaaaaaaaaaaaaaaa", 0.2)
record(session, shown)
told["young"] = open_session(till)
told["unrecorded"] = open_session(till, recorded=False)
service.end_session(told["unrecorded"], "console")
told["empty"] = open_session(till)
service.end_session(told["empty"], "console")

told["files"] = session = open_session(till, "files")
attach(session, "console", 1, "site-aaaaaaaaaaaaaaaaaaaaaaaaaa", 0.2)
sent = Transferred(1, Direction.SEND, "prices.csv", "stored", "/srv/prices.csv", 1_500_000, bytes(32))
for end in ("jump-client", "console"):
    service.note_transfer(session, end, sent, now + timedelta(seconds=3))
service.note_transfer(
    session, "console", Transferred(2, Direction.FETCH, "log", "no-such-file"), now + timedelta(seconds=4)
)
service.end_session(session, "console", now + timedelta(seconds=5))
print(json.dumps(told))
