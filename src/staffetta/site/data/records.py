"""Appending records: the only writer of ``Record`` for what happens here, in the caller's transaction.

The sequence is allocated by updating the incarnation's row inside the transaction, whose write lock (IMMEDIATE on
SQLite, the row's own elsewhere) makes it gapless and unique among threads and connections; a rolled-back transaction
gives its numbers back.
"""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from staffetta.kernel.clock import utc_now
from staffetta.kernel.ids import new_id
from staffetta.site.data import identity, projections
from staffetta.site.data.errors import BodyNotJson
from staffetta.site.data.models import Incarnation, Record


class _Drawn:
    """This process's incarnation: drawn at import, and again in a forked child."""

    def __init__(self) -> None:
        self.id = new_id()

    def again(self) -> None:
        self.id = new_id()


_DRAWN: Final = _Drawn()
os.register_at_fork(after_in_child=_DRAWN.again)


def current_incarnation() -> str:
    """Return the random id under which this process numbers its records."""
    return _DRAWN.id


def draw_incarnation() -> str:
    """Draw a new incarnation, as when a peer has seen a higher sequence under the present one."""
    _DRAWN.again()
    return _DRAWN.id


def append(kind: str, body: Mapping[str, Any], *, at: datetime | None = None) -> Record:
    """Write one record and bring the projections up to date; nothing of it stays if the caller's transaction fails.

    ``at`` is when it happened (now, if not given). Raises ``BodyNotJson`` for a body that is no JSON object.
    """
    try:
        plain = json.loads(json.dumps(dict(body), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BodyNotJson(f"The body of a {kind} record must be a JSON object: {error}.") from None
    with transaction.atomic():
        origin, incarnation, sequence = _next_key()
        record = Record(
            origin=origin, incarnation=incarnation, sequence=sequence, kind=kind, at=at or utc_now(), body=plain
        )
        record.save()
        projections.apply(record)
    return record


def _next_key() -> tuple[str, str, int]:
    incarnation = current_incarnation()
    rows = Incarnation.objects.filter(pk=incarnation)
    if rows.update(last_sequence=F("last_sequence") + 1):
        row = rows.get()
    else:
        row = Incarnation.objects.create(
            id=incarnation, origin=identity.origin(), last_sequence=1, started_at=utc_now()
        )
    return row.origin, row.id, row.last_sequence
