"""The proof that this generation's code can write, read and remove a row of this database (local, outside reports)."""

from django.db import transaction

from staffetta.kernel.ids import new_id
from staffetta.site.data.errors import DataError
from staffetta.site.data.models import Probe, Record


class ProbeFailed(DataError):
    """What was written did not come back."""

    code = "probe-failed"


def probe_database() -> str:
    """Write, read back and remove a probe row, and read the newest record; returns a sentence for the check's detail.

    Raises ``ProbeFailed``, or the database's own error.
    """
    text = new_id()
    with transaction.atomic():
        row = Probe.objects.create(text=text)
    found = Probe.objects.filter(pk=row.pk, text=text).first()
    Probe.objects.filter(pk=row.pk).delete()
    if found is None:
        raise ProbeFailed("A row that was written could not be read back.")
    newest = Record.objects.order_by("-pk").first()
    return f"a row written, read and removed; newest record: {newest if newest is not None else 'none yet'}"
