"""Who this site is: the instance on this appliance, the site's signing key, and the stored role term."""

import secrets
from datetime import datetime
from typing import Any

from django.apps import AppConfig
from django.db import transaction
from django.db.models.signals import post_migrate

from staffetta.kernel.clock import utc_now
from staffetta.site.data.models import SiteInstance, SiteKey
from staffetta.site.data.roles import Role
from staffetta.site.data.secrets import Secret
from staffetta.wire.identity import KEY_BYTES, SigningKey

SITE_IDENTITY = "site-identity"


def connect(app: AppConfig) -> None:
    """Make the identity at the end of the first migrate."""
    post_migrate.connect(_after_migrate, sender=app, dispatch_uid="staffetta.site.data.identity")


def ensure() -> None:
    """Make the instance and the site's key if they are not there; safe to run at every start."""
    with transaction.atomic():
        SiteInstance.objects.get_or_create(only=True, defaults={"made_at": utc_now()})
        SiteKey.objects.get_or_create(
            purpose=SITE_IDENTITY,
            defaults={"seed": Secret(secrets.token_bytes(KEY_BYTES)), "made_at": utc_now()},
        )


def origin() -> str:
    """Return the id under which this appliance's site writes its records."""
    return _instance().id


def role_term() -> int:
    """Return the stored term of this appliance's role, from 1; tickets, `move` and statements carry it."""
    return _instance().role_term


def role() -> Role:
    """Return what this appliance is in a pair."""
    return Role(_instance().role)


def frozen() -> bool:
    """Return whether configuration is read-only at the moment, for the last data-sync before traffic moves."""
    until = _instance().frozen_until
    return until is not None and utc_now() < until


def frozen_until() -> datetime | None:
    """Return when the freeze under way, or the last one, ends."""
    return _instance().frozen_until


def freeze(until: datetime | None) -> None:
    """Make configuration read-only until then; None thaws it. It thaws by itself, whatever becomes of who froze it."""
    _instance()
    SiteInstance.objects.filter(only=True).update(frozen_until=until)


def site_identity() -> SigningKey:
    """Return the key that signs statements, tickets and credentials; clients know the site by its public half."""
    row = SiteKey.objects.filter(purpose=SITE_IDENTITY).first()
    if row is None:
        ensure()
        row = SiteKey.objects.get(purpose=SITE_IDENTITY)
    return SigningKey(row.seed.reveal())


def _instance() -> SiteInstance:
    row = SiteInstance.objects.filter(only=True).first()
    if row is None:
        ensure()
        row = SiteInstance.objects.get(only=True)
    return row


def _after_migrate(**_: Any) -> None:
    ensure()
