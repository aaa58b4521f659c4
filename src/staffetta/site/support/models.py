"""The tables of the support room: sessions going on, and what their records become (reports, story, segments)."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from staffetta.kernel.ids import new_id
from staffetta.site.data.sync import Sync


class LiveSession(models.Model):
    """A session's present state. The highest counter of each end is the fence that a newer attach raises."""

    sync = Sync.LIVE
    sync_only: ClassVar[dict[str, object]] = {"probe": False}

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    kind = models.CharField(max_length=32)
    rep_id = models.CharField(max_length=40)
    rep_name = models.CharField(max_length=150)
    client_id = models.CharField(max_length=40, db_index=True)
    client_name = models.CharField(max_length=200)
    recorded = models.BooleanField()
    probe = models.BooleanField(default=False, db_default=False)
    web = models.CharField(max_length=40, null=True)
    """The web session of the browser whose console opened it, by the name that consoles know; null for a terminal's."""
    signed_in_since = models.DateTimeField(null=True)
    """What the account said of its consoles when that console was signed in: see ``SignIn.since``."""
    opened_at = models.DateTimeField()
    silent_since = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, db_index=True)
    end_reason = models.CharField(max_length=200, default="", db_default="")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class AttachedEnd(models.Model):
    """One end of a live session: its fence, and the gateway process that holds its connection if any does."""

    sync = Sync.LIVE
    sync_key = ("session_id", "end")
    sync_only: ClassVar[dict[str, object]] = {"session__probe": False}

    session = models.ForeignKey(LiveSession, models.CASCADE, related_name="ends")
    end = models.CharField(max_length=16)
    counter = models.PositiveBigIntegerField()
    generation = models.CharField(max_length=64)
    version = models.CharField(max_length=64)
    holder = models.CharField(max_length=40)
    present = models.BooleanField()
    changed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["session", "end"], name="attached_end_once")]

    def __str__(self) -> str:
        return f"{self.session_id} {self.end} #{self.counter}"


class SessionReport(models.Model):
    """A session as reports list it: computed from its records, whatever order they come in (S2)."""

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    kind = models.CharField(max_length=32, default="", db_default="")
    rep_id = models.CharField(max_length=40, default="", db_default="", db_index=True)
    rep_name = models.CharField(max_length=150, default="", db_default="")
    client_id = models.CharField(max_length=40, default="", db_default="", db_index=True)
    client_name = models.CharField(max_length=200, default="", db_default="")
    recorded = models.BooleanField(default=False, db_default=False)
    opened_at = models.DateTimeField(null=True, db_index=True)
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=200, default="", db_default="")

    class Meta:
        default_permissions = ()
        verbose_name = _("session report")

    def __str__(self) -> str:
        return self.id


class SessionEvent(models.Model):
    """One thing that happened in a session: its story, one row per record."""

    sync = Sync.LOCAL

    report = models.ForeignKey(SessionReport, models.CASCADE, related_name="events")
    origin = models.CharField(max_length=40)
    incarnation = models.CharField(max_length=40)
    sequence = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    event = models.CharField(max_length=16)
    end = models.CharField(max_length=16, default="", db_default="")
    counter = models.PositiveBigIntegerField(null=True)
    generation = models.CharField(max_length=64, default="", db_default="")
    version = models.CharField(max_length=64, default="", db_default="")
    """The end's own; that of the site which it attached to is beside it, empty in records of older sites."""
    site_version = models.CharField(max_length=64, default="", db_default="")
    pause_ms = models.PositiveBigIntegerField(null=True)
    reason = models.CharField(max_length=200, default="", db_default="")

    class Meta:
        default_permissions = ()
        ordering = ("at", "origin", "incarnation", "sequence")
        constraints = [
            models.UniqueConstraint(fields=["origin", "incarnation", "sequence"], name="session_event_record"),
        ]

    def __str__(self) -> str:
        return f"{self.report_id} {self.event}"


class SessionTransfer(models.Model):
    """What an event of a session of kind ``files`` says of a file: the word of the event's end on one transfer."""

    sync = Sync.LOCAL

    event = models.OneToOneField(SessionEvent, models.CASCADE, primary_key=True, related_name="transfer")
    channel = models.PositiveSmallIntegerField()
    direction = models.CharField(max_length=16)
    name = models.CharField(max_length=256)
    path = models.CharField(max_length=1024)
    size = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64)
    outcome = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}"


class SessionSegment(models.Model):
    """A sealed piece of a session's recording; the bytes are the blob of that SHA-256."""

    sync = Sync.LOCAL

    report = models.ForeignKey(SessionReport, models.CASCADE, related_name="segments")
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.PositiveBigIntegerField()
    sealed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ("sealed_at", "sha256")
        constraints = [models.UniqueConstraint(fields=["report", "sha256"], name="session_segment_once")]

    def __str__(self) -> str:
        return self.sha256
