"""The tables of the pair: own identity, the relationship, how far data-sync is, and the last common revisions."""

from django.db import models

from staffetta.kernel.ids import new_id
from staffetta.site.data.fields import EncryptedField
from staffetta.site.data.sync import Sync
from staffetta.wire.pair import Endpoint


class PairIdentity(models.Model):
    """This appliance's key among pairs (Ed25519 seed) and the inter-appliance pre-shared key, if one is set (F1)."""

    sync = Sync.LOCAL

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    seed = EncryptedField()
    preshared_key = EncryptedField(null=True)  # type: ignore[misc]  # the field reads None as None

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="pair_identity_only_one")]

    def __str__(self) -> str:
        return "pair identity"


class Relationship(models.Model):
    """The failover relationship; kept after it was broken, so that its details can be offered again."""

    sync = Sync.LOCAL

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    peer_origin = models.CharField(max_length=40)
    peer_key = models.BinaryField(max_length=32)
    peer_host = models.CharField(max_length=255)
    peer_port = models.PositiveIntegerField()
    own_host = models.CharField(max_length=255)
    own_port = models.PositiveIntegerField()
    peer_leaf = models.CharField(max_length=64)
    """SHA-256 (hex) of the certificate that the peer showed last: clients may meet it too."""
    peer_role = models.CharField(max_length=16, default="", db_default="")
    peer_term = models.PositiveBigIntegerField(default=0, db_default=0)
    peer_version = models.CharField(max_length=64, default="", db_default="")
    established_at = models.DateTimeField()
    broken_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    alarm = models.CharField(max_length=300, default="", db_default="")
    """The codes of what a person should know (``rules.Alarm``), separated by spaces."""
    peer_picture = models.JSONField(null=True)
    """What the peer last said of itself, whole (``GET picture``)."""
    looked_at = models.DateTimeField(null=True)
    """When this appliance last looked for its peer, whether or not it answered."""
    taking_over_at = models.DateTimeField(null=True)
    """Set while this appliance is becoming the primary."""
    without_primary_since = models.DateTimeField(null=True)
    """Since when both are seen to be backups."""

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="relationship_only_one")]

    @property
    def peer(self) -> Endpoint:
        """Where this appliance reaches the other one's site: the other one's own address."""
        return Endpoint(self.peer_host, self.peer_port)

    @property
    def own(self) -> Endpoint:
        """Where the other appliance reaches this one's: this one's own address."""
        return Endpoint(self.own_host, self.own_port)

    def __str__(self) -> str:
        return str(self.peer)


class SyncState(models.Model):
    """How far data-sync is on this appliance: its last whole round, and what is still behind."""

    sync = Sync.LOCAL

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    asked_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    common_with = models.CharField(max_length=40, default="", db_default="")
    """The origin of the peer that the common documents are shared with."""
    reconciled = models.BooleanField(default=False, db_default=False)
    """The primary has merged what both sides changed while the relationship was broken."""
    records_behind = models.PositiveBigIntegerField(default=0, db_default=0)
    blobs_behind = models.PositiveBigIntegerField(default=0, db_default=0)
    bytes_behind = models.PositiveBigIntegerField(default=0, db_default=0)
    error = models.CharField(max_length=300, default="", db_default="")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="sync_state_only_one")]

    def __str__(self) -> str:
        return "sync state"


class CommonDocument(models.Model):
    """A configuration document as both appliances last had it: what a merge after a break compares with."""

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    type = models.CharField(max_length=100)
    key = models.CharField(max_length=100)
    digest = models.CharField(max_length=64)
    body = models.JSONField(null=True)
    """Null for a document of live state, which is never merged."""

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["type", "key"], name="common_document_once")]

    def __str__(self) -> str:
        return f"{self.type} {self.key}"


class PairJob(models.Model):
    """A pair job as this appliance knows it; the owner's is the newest. Only ``job_store`` writes it."""

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    kind = models.CharField(max_length=32)
    a = models.CharField(max_length=40)
    b = models.CharField(max_length=40)
    owner = models.CharField(max_length=40)
    job_term = models.PositiveBigIntegerField()
    revision = models.PositiveBigIntegerField()
    told = models.CharField(max_length=100, default="", db_default="")
    """The rank and revision that the other appliance is known to have."""
    state = models.CharField(max_length=32)
    step = models.CharField(max_length=32)
    target_base = models.CharField(max_length=64, null=True)
    target_site = models.CharField(max_length=64)
    actor = models.CharField(max_length=150)
    sentence = models.TextField(default="", db_default="")
    error = models.TextField(default="", db_default="")
    started = models.DateTimeField()
    ended = models.DateTimeField(null=True)
    backup_password = EncryptedField(null=True)  # type: ignore[misc]  # the field reads None as None
    """For the backup step, on the appliance where the job was begun; gone when the backup is made."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class PairJobStep(models.Model):
    """One attempt of one step of a pair job, in the order in which they began."""

    sync = Sync.LOCAL

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(PairJob, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveIntegerField()
    step = models.CharField(max_length=32)
    appliance = models.CharField(max_length=8)
    state = models.CharField(max_length=16)
    attempt = models.PositiveIntegerField()
    started = models.DateTimeField()
    ended = models.DateTimeField(null=True)
    evidence = models.TextField(default="", db_default="")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="pair_job_step_once")]

    def __str__(self) -> str:
        return f"{self.step}.{self.attempt}"


class PairCommand(models.Model):
    """A command of a pair job that was executed here, or is to be: asked again, it is answered from here."""

    sync = Sync.LOCAL

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(PairJob, on_delete=models.CASCADE, related_name="commands")
    step = models.CharField(max_length=40)
    verb = models.CharField(max_length=32)
    arguments = models.JSONField(default=dict, db_default={})
    began_at = models.DateTimeField(null=True)
    """When its execution began, if it is under way or over."""
    done_at = models.DateTimeField(null=True)
    ok = models.BooleanField(default=False, db_default=False)
    sentence = models.TextField(default="", db_default="")
    value = models.CharField(max_length=100, default="", db_default="")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["job", "step", "verb"], name="pair_command_once")]

    def __str__(self) -> str:
        return f"{self.step} {self.verb}"


class PairHold(models.Model):
    """What a pair job has switched off on this appliance; empty when none has."""

    sync = Sync.LOCAL

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    suspended_by = models.CharField(max_length=40, default="", db_default="")
    frozen_by = models.CharField(max_length=40, default="", db_default="")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="pair_hold_only_one")]

    def __str__(self) -> str:
        return self.suspended_by or "not suspended"
