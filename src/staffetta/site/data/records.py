"""Appending records: the only writer of ``Record`` for what happens here, in the caller's transaction.

The sequence is allocated by updating the incarnation's row inside the transaction, whose write lock (IMMEDIATE on
SQLite, the row's own elsewhere) makes it gapless and unique among threads and connections; a rolled-back transaction
gives its numbers back.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from staffetta.kernel.clock import utc_now
from staffetta.kernel.ids import new_id
from staffetta.site.data import identity, projections
from staffetta.site.data.errors import BodyNotJson, RecordGap
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
    """Draw a new incarnation: what this process writes from now on is numbered anew."""
    _DRAWN.again()
    return _DRAWN.id


@dataclass(frozen=True, slots=True)
class RecordText:
    """A record as it travels: its key, kind, time and body (JSON)."""

    origin: str
    incarnation: str
    sequence: int
    kind: str
    at: datetime
    body: Mapping[str, Any]


def heads() -> dict[tuple[str, str], int]:
    """Return the highest sequence held here of each (origin, incarnation); all below it are here too."""
    return {(row.origin, row.id): row.last_sequence for row in Incarnation.objects.all()}


def after(origin: str, incarnation: str, sequence: int, limit: int) -> list[RecordText]:
    """Return the records of an incarnation that follow a sequence, in order, at most ``limit``."""
    rows = Record.objects.filter(origin=origin, incarnation=incarnation, sequence__gt=sequence).order_by("sequence")
    return [RecordText(row.origin, row.incarnation, row.sequence, row.kind, row.at, row.body) for row in rows[:limit]]


def insert_foreign(found: Sequence[RecordText]) -> int:
    """Insert records that another appliance, or this one before it was restored, has written; returns how many are new.

    They and the position they bring this appliance to are one transaction; what is here already is left alone.
    Raises ``RecordGap`` when they do not follow what is here: nothing is inserted then.
    """
    with transaction.atomic():
        known = heads()
        owners = {incarnation: origin for origin, incarnation in known}
        new: list[Record] = []
        for one in found:
            place = (one.origin, one.incarnation)
            head = known.get(place, 0)
            if one.sequence <= head:
                continue
            if owners.setdefault(one.incarnation, one.origin) != one.origin:
                raise RecordGap(f"Two origins use the incarnation {one.incarnation}; one of them is a copy.")
            if one.sequence != head + 1:
                raise RecordGap(f"Record {one.sequence} of {one.incarnation} came, but {head + 1} is missing here.")
            known[place] = one.sequence
            new.append(Record(**asdict(one)))
        Record.objects.bulk_create(new)
        for origin, incarnation in sorted({(one.origin, one.incarnation) for one in new}):
            position = {"origin": origin, "last_sequence": known[origin, incarnation]}
            Incarnation.objects.update_or_create(
                id=incarnation, defaults=position, create_defaults={**position, "started_at": utc_now()}
            )
        for record in new:
            projections.apply(record)
    return len(new)


def fence(seen: Mapping[tuple[str, str], int]) -> int:
    """Close every incarnation of this appliance of which a peer has seen more than is remembered here.

    An appliance that was set back (a restored disk, a machine snapshot) would use keys twice; its processes draw new
    incarnations at their next record. Returns how many were closed.
    """
    own = identity.origin()
    with transaction.atomic():
        behind = [
            row.pk
            for row in Incarnation.objects.filter(origin=own, fenced=False)
            if seen.get((own, row.pk), 0) > row.last_sequence
        ]
        Incarnation.objects.filter(pk__in=behind).update(fenced=True)
    return len(behind)


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
    if Incarnation.objects.filter(pk=incarnation, fenced=True).exists():
        incarnation = draw_incarnation()
    rows = Incarnation.objects.filter(pk=incarnation)
    if rows.update(last_sequence=F("last_sequence") + 1):
        row = rows.get()
    else:
        row = Incarnation.objects.create(
            id=incarnation, origin=identity.origin(), last_sequence=1, started_at=utc_now()
        )
    return row.origin, row.id, row.last_sequence
