"""Installer tokens, and the computers that enrol with one."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.kernel.ids import new_id
from staffetta.site.data import audit, identity, records
from staffetta.site.fleet.errors import BadToken, EnrolmentRefused, TokenUnknown
from staffetta.site.fleet.models import InstallerToken, JumpClient
from staffetta.site.fleet.revocation import ENROLLED
from staffetta.wire import enrolment
from staffetta.wire.errors import WireError
from staffetta.wire.identity import KEY_BYTES, public_key

MOST_USES: Final = 100_000
MOST_HOURS: Final = 24 * 366
NAME_LENGTH: Final = 200
SECRET_BYTES: Final = 32
ENROLLER: Final = "installer token"
"""Who enrols a computer, as the audit log names it: whoever had the token, which names its maker."""


@dataclass(frozen=True, slots=True)
class EnrolledClient:
    """A computer that has just become a Jump Client, and whether it is to be a passive one."""

    id: str
    name: str
    passive: bool = False


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A new installer token; ``text`` is shown once and kept nowhere."""

    id: str
    text: str = field(repr=False)
    expires_at: datetime
    uses_allowed: int


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """An installer token as the list shows it."""

    id: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    uses: int
    uses_allowed: int
    usable: bool
    passive: bool


def make_installer_token(actor: str, uses: int, valid_hours: int, *, passive: bool = False) -> MadeToken:
    """Make a token that lets ``uses`` computers enrol within ``valid_hours``; ``actor`` is a user name.

    They become active Jump Clients, or ``passive`` ones, unless their installer says otherwise. Raises ``BadToken`` for
    limits out of range.
    """
    if not 1 <= uses <= MOST_USES or not 1 <= valid_hours <= MOST_HOURS:
        raise BadToken(
            _("A token is for 1 to %(uses)d computers and 1 to %(hours)d hours.")
            % {"uses": MOST_USES, "hours": MOST_HOURS}
        )
    secret = secrets.token_bytes(SECRET_BYTES)
    now = utc_now()
    with transaction.atomic():
        row = InstallerToken.objects.create(
            secret_sha256=hashlib.sha256(secret).hexdigest(),
            made_by=actor,
            made_at=now,
            expires_at=now + timedelta(hours=valid_hours),
            uses_allowed=uses,
            passive=passive,
        )
        audit.note(actor, "token.made", row.id, {"uses": uses, "hours": valid_hours, "passive": passive})
    text = enrolment.InstallerToken(secret, identity.site_identity().public, settings.STAFFETTA_ADDRESSES).text()
    return MadeToken(row.id, text, row.expires_at, row.uses_allowed)


def list_tokens() -> tuple[TokenSummary, ...]:
    """Return the tokens, newest first."""
    now = utc_now()
    return tuple(
        TokenSummary(
            row.id,
            row.made_by,
            row.made_at,
            row.expires_at,
            row.uses,
            row.uses_allowed,
            _usable(row, now),
            row.passive,
        )
        for row in InstallerToken.objects.order_by("-made_at")
    )


def revoke_token(actor: str, token_id: str) -> None:
    """Let nobody else enrol with a token; who has enrolled with it stays. Raises ``TokenUnknown``."""
    with transaction.atomic():
        if not InstallerToken.objects.filter(pk=token_id).exists():
            raise TokenUnknown(_("There is no such installer token."))
        if InstallerToken.objects.filter(pk=token_id, revoked_at=None).update(revoked_at=utc_now()):
            audit.note(actor, "token.revoked", token_id)


def enrol(
    token: str, public_key: bytes, name: str, platform: Mapping[str, str], passive: bool | None = None
) -> EnrolledClient:
    """Make a computer a Jump Client, known from now on by its key (32 raw bytes). Raises ``EnrolmentRefused``.

    ``passive`` is what its installer asks for, None if the token decides.

    A computer that lost the answer and asks again with the same token and key gets the same answer; nothing is
    counted twice.
    """
    _check_key(public_key)
    clean = " ".join(name.split())
    if not 1 <= len(clean) <= NAME_LENGTH or not clean.isprintable():
        raise EnrolmentRefused("name-bad", _("The computer's name must have 1 to 200 printable characters."))
    with transaction.atomic():
        row = _token_row(token)
        known = JumpClient.objects.filter(public_key=public_key).first()
        if known is not None:
            if known.enrolled_by_token == row.id and known.revoked_at is None:
                return EnrolledClient(known.id, known.name, known.passive)
            raise EnrolmentRefused("key-known", _("A computer with this key is enrolled already; make a new key."))
        _check_usable(row)
        row.uses += 1
        row.save(update_fields=["uses"])
        client = JumpClient.objects.create(
            id=new_id(),
            name=clean,
            public_key=public_key,
            platform={str(key)[:64]: str(value)[:1024] for key, value in list(platform.items())[:32]},
            enrolled_at=utc_now(),
            enrolled_by_token=row.id,
            passive=row.passive if passive is None else passive,
        )
        records.append(ENROLLED, {"client": client.id, "name": clean, "token": row.id})
        audit.note(
            ENROLLER,
            "client.enrolled",
            clean,
            {"client": client.id, "token": row.id, "made_by": row.made_by, "passive": client.passive},
        )
    return EnrolledClient(client.id, client.name, client.passive)


def _check_key(raw: bytes) -> None:
    try:
        public_key(raw)
    except WireError:
        raise EnrolmentRefused("key-bad", _("A client's key has %(n)d bytes of Ed25519.") % {"n": KEY_BYTES}) from None


def _token_row(token: str) -> InstallerToken:
    try:
        secret = enrolment.parse_installer_token(token).secret
    except WireError as error:
        raise EnrolmentRefused("token-unknown", error.message) from None
    row = InstallerToken.objects.filter(secret_sha256=hashlib.sha256(secret).hexdigest()).first()
    if row is None:
        raise EnrolmentRefused("token-unknown", _("This site did not make this installer token, or has dropped it."))
    return row


def _check_usable(row: InstallerToken) -> None:
    if row.revoked_at is not None:
        raise EnrolmentRefused("token-revoked", _("This installer token was revoked; make a new one."))
    if row.expires_at <= utc_now():
        raise EnrolmentRefused("token-expired", _("This installer token has expired; make a new one."))
    if row.uses >= row.uses_allowed:
        raise EnrolmentRefused("token-used-up", _("This installer token is used up; make a new one."))


def _usable(row: InstallerToken, now: datetime) -> bool:
    return row.revoked_at is None and row.expires_at > now and row.uses < row.uses_allowed
