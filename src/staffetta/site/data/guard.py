"""The guard of configuration: on a backup, and while traffic moves, nothing but data-sync writes it (F2, F7)."""

from typing import Any

from django.db import models
from django.db.models.signals import pre_delete, pre_save

from staffetta.site.data import identity
from staffetta.site.data.documents import applying
from staffetta.site.data.errors import ReadOnlyHere
from staffetta.site.data.sync import Sync, travels, travels_with


def connect() -> None:
    """Watch every save and delete of a row."""
    pre_save.connect(_before_save, dispatch_uid="staffetta.site.data.guard.save")
    pre_delete.connect(_before_delete, dispatch_uid="staffetta.site.data.guard.delete")


def require_editable() -> None:
    """Raise ``ReadOnlyHere`` unless configuration may be edited on this appliance now."""
    if identity.role().serves:
        if identity.frozen():
            raise ReadOnlyHere("The configuration is read-only for a few seconds while traffic moves; try again.")
        return
    raise ReadOnlyHere("This appliance is the backup: edit the configuration on the primary; it comes here by itself.")


def _before_save(
    sender: type[models.Model], instance: models.Model, update_fields: frozenset[str] | None = None, **_: Any
) -> None:
    travel = travels_with(sender)
    if travel.kind is not Sync.CONFIG or applying.get() or not travels(instance):
        return
    if update_fields is not None and set(update_fields) <= set(travel.stays):
        return
    require_editable()


def _before_delete(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    if travels_with(sender).kind is Sync.CONFIG and not applying.get() and travels(instance):
        require_editable()
