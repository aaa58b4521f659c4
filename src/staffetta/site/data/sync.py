"""How each model's rows travel between the two appliances of a pair; a model that does not say so fails a test.

- ``CONFIG``: whole documents, edited on the primary only.
- ``RECORD``: append-only events, pulled both ways by ``(origin, incarnation, sequence)``.
- ``BLOB``: bytes named by their SHA-256.
- ``LIVE``: state of what is going on now, as the primary sees it.
- ``LOCAL``: never leaves the appliance: projections that can be rebuilt, probes, bookkeeping.

Beside ``sync`` a model may say: ``sync_key`` (the fields that name a row on every appliance, if its primary key does
not), ``sync_stays`` (fields that stay on the appliance), ``sync_only`` (which rows travel at all).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from django.apps import apps
from django.db import models


class Sync(StrEnum):
    """The kind of travelling a model's rows do."""

    CONFIG = "config"
    RECORD = "record"
    BLOB = "blob"
    LIVE = "live"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Travel:
    """How one model's rows travel. ``only`` are the values that a row must have to travel."""

    kind: Sync | None
    key: tuple[str, ...]
    stays: tuple[str, ...] = ()
    only: Mapping[str, Any] = field(default_factory=dict)


# Models that others wrote and that cannot carry the attribute. Content types and permissions are made anew by every
# migrate; throttling counts what this appliance's own door saw.
OF_OTHERS: Final = {
    "auth.Permission": Travel(Sync.LOCAL, ("pk",)),
    "auth.Group": Travel(Sync.CONFIG, ("name",)),
    "axes.AccessAttempt": Travel(Sync.LOCAL, ("pk",)),
    "axes.AccessAttemptExpiration": Travel(Sync.LOCAL, ("pk",)),
    "axes.AccessFailureLog": Travel(Sync.LOCAL, ("pk",)),
    "axes.AccessLog": Travel(Sync.LOCAL, ("pk",)),
    "contenttypes.ContentType": Travel(Sync.LOCAL, ("pk",)),
}


def travels_with(model: type[models.Model]) -> Travel:
    """Return how a model's rows travel; its kind is None when it declares none in its own class body (a defect)."""
    said = vars(model)
    if isinstance(said.get("sync"), Sync):
        key = said.get("sync_key", (model._meta.pk.attname,))
        return Travel(said["sync"], key, said.get("sync_stays", ()), said.get("sync_only", {}))
    return OF_OTHERS.get(model._meta.label, Travel(None, ("pk",)))


def travels(row: models.Model) -> bool:
    """Whether this very row is one that travels."""
    return all(getattr(row, name) == value for name, value in travels_with(type(row)).only.items())


def undeclared() -> list[str]:
    """Return the labels of installed models without a kind.

    A many-to-many table made by Django is part of its owner's document and needs none.
    """
    return sorted(model._meta.label for model in apps.get_models() if travels_with(model).kind is None)
