"""The tables under everything: records and their incarnations, blobs, this instance, the site's keys, the probe row."""

from typing import Any, NoReturn

from django.db import models

from staffetta.kernel.ids import new_id
from staffetta.site.data.errors import RecordsAreFinal
from staffetta.site.data.fields import EncryptedField
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync


class SiteInstance(models.Model):
    """This site on this appliance: one row, made by the first migrate. Its id is the origin of its records.

    ``role_term`` is the stored term of this appliance's role; seeing a higher one means stepping down.
    """

    sync = Sync.LOCAL

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    id = models.CharField(max_length=40, default=new_id, editable=False, unique=True)
    role = models.CharField(max_length=16, default=Role.ALONE.value, db_default=Role.ALONE.value)
    role_term = models.PositiveBigIntegerField(default=1, db_default=1)
    frozen_until = models.DateTimeField(null=True)
    """Configuration is read-only until then: the seconds of the last data-sync before traffic moves."""
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="site_instance_only_one")]

    def __str__(self) -> str:
        return self.id


class SiteKey(models.Model):
    """A signing key of the site (Ed25519 seed), replicated to the backup wrapped anew, never in the clear."""

    sync = Sync.CONFIG

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    purpose = models.CharField(max_length=40, unique=True)
    seed = EncryptedField()
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.purpose} ({self.id})"


class Incarnation(models.Model):
    """One start of one process of this site: a random id under which it numbers the records it writes.

    A restored or cloned appliance draws new ones, so no ``(origin, incarnation, sequence)`` is ever used twice.
    """

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    origin = models.CharField(max_length=40)
    last_sequence = models.PositiveBigIntegerField()
    fenced = models.BooleanField(default=False, db_default=False)
    """The peer has seen a higher sequence than this appliance remembers: nothing more is written under it."""
    started_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class KeptDocument(models.Model):
    """What a newer release's document holds that this release does not know: kept, and passed on as it came.

    ``whole`` is True for a document of a type that is unknown here; else the body holds only the unknown fields.
    """

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    type = models.CharField(max_length=100)
    key = models.CharField(max_length=100)
    whole = models.BooleanField()
    kind = models.CharField(max_length=16)
    body = models.JSONField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["type", "key"], name="kept_document_once")]

    def __str__(self) -> str:
        return f"{self.type} {self.key}"


class RecordQuerySet(models.QuerySet["Record"]):
    """Reading and adding; the ways to change many rows at once are closed."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise _final()

    def delete(self) -> NoReturn:
        """Refused."""
        raise _final()

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise _final()

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise _final()


class Record(models.Model):
    """Something that happened: written once, never changed, joined with the peer's by its key.

    ``records.append`` is the way to write one. Triggers in the database refuse what gets past this class.
    """

    sync = Sync.RECORD

    origin = models.CharField(max_length=40, editable=False)
    incarnation = models.CharField(max_length=40, editable=False)
    sequence = models.PositiveBigIntegerField(editable=False)
    kind = models.CharField(max_length=64, editable=False)
    at = models.DateTimeField(editable=False)
    body = models.JSONField(editable=False)

    objects = RecordQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["origin", "incarnation", "sequence"], name="record_key"),
        ]
        indexes = [models.Index(fields=["kind", "at"], name="record_kind_at")]

    def __str__(self) -> str:
        return f"{self.kind} {self.origin}/{self.incarnation}/{self.sequence}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; saving a stored record again is refused."""
        if not self._state.adding:
            raise _final()
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise _final()


class Blob(models.Model):
    """Bytes in the blob folder, named by their SHA-256; what refers to them says so in its own table."""

    sync = Sync.BLOB

    sha256 = models.CharField(primary_key=True, max_length=64, editable=False)
    size = models.PositiveBigIntegerField(editable=False)
    stored_at = models.DateTimeField(editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.sha256


class Probe(models.Model):
    """A row that a new generation writes, reads and removes to prove that it can: outside reports and sync."""

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    text = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


def _final() -> RecordsAreFinal:
    return RecordsAreFinal("Records are append-only; write another record that says what changed.")
