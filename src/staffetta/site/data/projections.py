"""Reports as projections: each app says which kinds of record it reads and how; all of it can be rebuilt.

Rule: applying is commutative and idempotent, so that records joined from a peer in any order give the same rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import models, transaction

from staffetta.site.data.models import Record


@dataclass(frozen=True, slots=True)
class Projection:
    """Rows computed from records alone: what is applied for whom, and the tables to empty before a rebuild."""

    name: str
    kinds: frozenset[str]
    apply: Callable[[Record], None]
    tables: tuple[type[models.Model], ...]


_REGISTERED: Final[dict[str, Projection]] = {}


def register(projection: Projection) -> None:
    """Make a projection known; apps do it when they are ready."""
    _REGISTERED[projection.name] = projection


def apply(record: Record) -> None:
    """Bring every projection up to date with one new record, in the caller's transaction."""
    for projection in _REGISTERED.values():
        if record.kind in projection.kinds:
            projection.apply(record)


def rebuild_projections() -> int:
    """Empty every projection and compute it again from the records; returns how many records were read."""
    count = 0
    with transaction.atomic():
        for projection in _REGISTERED.values():
            for table in projection.tables:
                table._default_manager.all().delete()
        for record in Record.objects.order_by("pk").iterator(chunk_size=1000):
            apply(record)
            count += 1
    return count
