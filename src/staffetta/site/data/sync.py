"""How each model's rows travel between the two appliances of a pair; a model that does not say so fails a test.

- ``CONFIG``: whole documents, edited on the primary only.
- ``RECORD``: append-only events, pulled both ways by ``(origin, incarnation, sequence)``.
- ``BLOB``: bytes named by their SHA-256.
- ``LIVE``: state of what is going on now; the newest word wins.
- ``LOCAL``: never leaves the appliance: projections that can be rebuilt, probes, bookkeeping.
"""

from enum import StrEnum
from typing import Final

from django.apps import apps
from django.db import models


class Sync(StrEnum):
    """The kind of travelling a model's rows do."""

    CONFIG = "config"
    RECORD = "record"
    BLOB = "blob"
    LIVE = "live"
    LOCAL = "local"


# Models that others wrote and that cannot carry the attribute. Content types and permissions are made anew by every
# migrate; throttling counts what this appliance's own door saw.
OF_OTHERS: Final = {
    "auth.Permission": Sync.LOCAL,
    "auth.Group": Sync.CONFIG,
    "axes.AccessAttempt": Sync.LOCAL,
    "axes.AccessAttemptExpiration": Sync.LOCAL,
    "axes.AccessFailureLog": Sync.LOCAL,
    "axes.AccessLog": Sync.LOCAL,
    "contenttypes.ContentType": Sync.LOCAL,
}


def sync_of(model: type[models.Model]) -> Sync | None:
    """Return the kind a model declares in its own class body, or None when it declares none (a defect)."""
    declared = vars(model).get("sync")
    if isinstance(declared, Sync):
        return declared
    return OF_OTHERS.get(model._meta.label)


def undeclared() -> list[str]:
    """Return the labels of installed models without a kind.

    A many-to-many table made by Django is part of its owner's document and needs none.
    """
    return sorted(model._meta.label for model in apps.get_models() if sync_of(model) is None)
