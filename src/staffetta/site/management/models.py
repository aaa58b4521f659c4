"""The tables of the management room: files of the file store, and the audit log's projection."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from staffetta.kernel.ids import new_id
from staffetta.site.data.sync import Sync


class StoredFile(models.Model):
    """A file in the file store (S6); its bytes are the blob of that SHA-256, which other files may share."""

    sync = Sync.CONFIG

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    name = models.CharField(max_length=255, unique=True)
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.PositiveBigIntegerField()
    stored_by = models.CharField(max_length=150)
    stored_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        verbose_name = _("file")

    def __str__(self) -> str:
        return self.name


class AuditEntry(models.Model):
    """Who did what: one row per record of kind ``audit``."""

    sync = Sync.LOCAL

    origin = models.CharField(max_length=40)
    incarnation = models.CharField(max_length=40)
    sequence = models.PositiveBigIntegerField()
    at = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=300)
    detail = models.JSONField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["origin", "incarnation", "sequence"], name="audit_entry_record"),
        ]
        indexes = [models.Index(fields=["action", "at"], name="audit_entry_action")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"
