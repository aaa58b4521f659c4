"""The tables of the fleet: installer tokens, Jump Clients, what the gateways see of them, and their upgrades."""

from django.db import models

from staffetta.kernel.ids import new_id
from staffetta.site.data.sync import Sync


class InstallerToken(models.Model):
    """Lets a number of computers enrol until a time. Only the SHA-256 of its secret is kept."""

    sync = Sync.CONFIG

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    secret_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    uses_allowed = models.PositiveIntegerField()
    uses = models.PositiveIntegerField(default=0, db_default=0)
    passive = models.BooleanField(default=False, db_default=False)
    """The mode of who enrols with it and does not ask for another."""
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class JumpClient(models.Model):
    """An enrolled remote computer, known by its own key (Ed25519, 32 bytes)."""

    sync = Sync.CONFIG

    id = models.CharField(primary_key=True, max_length=40, default=new_id, editable=False)
    name = models.CharField(max_length=200, db_index=True)
    public_key = models.BinaryField(max_length=32, unique=True)
    platform = models.JSONField()
    enrolled_at = models.DateTimeField()
    enrolled_by_token = models.CharField(max_length=40)
    passive = models.BooleanField(default=False, db_default=False)
    """Whether it is to check in now and then instead of keeping a connection; it learns of a change when it does."""
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Presence(models.Model):
    """What was last seen of a client, and which gateway process saw it.

    ``holder`` is the process that holds its newest connection: a goodbye from any other changes nothing, so a client
    that moved from an old generation to a new one stays online when the old one lets go.
    """

    sync = Sync.LIVE

    client = models.OneToOneField(JumpClient, models.CASCADE, primary_key=True, related_name="presence")
    online = models.BooleanField(default=False, db_default=False)
    holder = models.CharField(max_length=40)
    version = models.CharField(max_length=64)
    last_seen = models.DateTimeField()
    detail = models.JSONField()
    address = models.CharField(max_length=64, default="", db_default="")
    """The IP address from which it came last: where a passive one can be woken."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.client_id}: {'online' if self.online else 'offline'}"


class ServedVersion(models.Model):
    """Which version of the site serves clients, and since when: one row once a gateway has served."""

    sync = Sync.LIVE

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    version = models.CharField(max_length=64)
    since = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="served_version_only_one")]

    def __str__(self) -> str:
        return self.version


class GatewayProcess(models.Model):
    """A gateway process that is alive, by its last beat; whoever it held counts as offline once it is silent."""

    sync = Sync.LOCAL

    id = models.CharField(primary_key=True, max_length=40)
    generation = models.CharField(max_length=64)
    version = models.CharField(max_length=64)
    beat_at = models.DateTimeField(db_index=True)
    reps = models.JSONField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.generation} ({self.id})"


class UpdateLimit(models.Model):
    """*Maximum simultaneous Jump Client upgrades*: one row once it was set."""

    sync = Sync.CONFIG

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    simultaneous = models.PositiveIntegerField(default=20, db_default=20)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="update_limit_only_one")]

    def __str__(self) -> str:
        return str(self.simultaneous)


class Rollout(models.Model):
    """Whether this appliance holds its clients back, and why; also the row that whoever gives out a slot locks."""

    sync = Sync.LOCAL

    only = models.BooleanField(primary_key=True, default=True, db_default=True, editable=False)
    held = models.CharField(max_length=500, default="", db_default="")
    held_since = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="rollout_only_one")]

    def __str__(self) -> str:
        return self.held or "not held"


class UpdateSlot(models.Model):
    """A client (by its id) that this appliance has told to update: to which version, and when."""

    sync = Sync.LOCAL

    client = models.CharField(primary_key=True, max_length=40)
    version = models.CharField(max_length=64)
    since = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.client} to {self.version}"
