"""Web sessions whose token is stored only as its SHA-256: a stolen database opens nobody's session.

Rules:
- the token has 256 random bits and lives in the cookie alone; the row is found by its hash
- a session ends `IDLE_LIMIT` after its last use and `ABSOLUTE_LIMIT` after its start, whatever happens in between
- sign-in and change of password draw a new token (Django calls `cycle_key`) and the row of the old one is deleted
- the row names its account, so that all sessions of one account can be ended at once

A face makes the row concrete and names it in a two-line engine (`SESSION_ENGINE` is that module):

    class SessionStore(HashedSessionStore):
        model_name = "appliance.Session"
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, cast

from django.apps import apps
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import IntegrityError, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

IDLE_LIMIT: Final = timedelta(hours=1)
ABSOLUTE_LIMIT: Final = timedelta(hours=12)
RENEW_AFTER: Final = timedelta(minutes=1)
"""Use moves the idle limit at most this often, so that reading pages does not write to the disk each time."""


def token_hash(token: str) -> str:
    """What is stored of a session's token: SHA-256, lower-case hex."""
    return hashlib.sha256(token.encode()).hexdigest()


class HashedSession(models.Model):
    """A web session. The token is nowhere in it, and what `data` says of the password is a keyed hash of its hash."""

    token_hash = models.CharField(primary_key=True, max_length=64, editable=False)
    data = models.TextField()
    account_id = models.CharField(max_length=26, null=True, db_index=True)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        abstract = True
        verbose_name = _("web session")
        verbose_name_plural = _("web sessions")

    def __str__(self) -> str:
        """The first letters of the hash, which say nothing about the token."""
        return self.token_hash[:12]


class HashedSessionStore(SessionBase):
    """A Django session engine over a concrete `HashedSession`, named by `model_name` as `app_label.Model`."""

    model_name: ClassVar[str]

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._started_at: datetime | None = None

    @classmethod
    def sessions(cls) -> models.Manager[HashedSession]:
        """The table this engine works on."""
        return cast("type[HashedSession]", apps.get_model(cls.model_name))._default_manager

    @classmethod
    def clear_expired(cls) -> None:
        """Delete the rows of sessions that are over."""
        cls.sessions().filter(expires_at__lte=timezone.now()).delete()

    @classmethod
    def end_all_of(cls, account_id: str) -> int:
        """End every session of one account; returns how many there were."""
        return cls._end(cls._going_on().filter(account_id=account_id))

    @classmethod
    def end_others_of(cls, account_id: str, token: str) -> int:
        """End every session of one account but the one with this token; returns how many there were."""
        return cls._end(cls._going_on().filter(account_id=account_id).exclude(token_hash=token_hash(token)))

    @classmethod
    def count_others_of(cls, account_id: str, token: str) -> int:
        """How many sessions ``end_others_of`` would end that are not over by themselves."""
        others = cls._going_on().filter(account_id=account_id, expires_at__gt=timezone.now())
        return others.exclude(token_hash=token_hash(token)).count()

    @classmethod
    def _going_on(cls) -> models.QuerySet[HashedSession]:
        """The rows of sessions that nobody has ended. A face that keeps ended ones leaves them out here."""
        return cls.sessions().all()

    @classmethod
    def _end(cls, rows: models.QuerySet[HashedSession]) -> int:
        """End the sessions of these rows; returns how many there were."""
        return rows.delete()[0]

    def _carried_over(self) -> dict[str, Any]:
        """What a new row has in a face's own columns. Saving an existing one leaves them alone."""
        return {}

    def encode(self, session_dict: dict[str, Any]) -> str:
        """The stored form: JSON, not signed by this machine's secret key, so that a replicated row is good there."""
        stored: bytes = self.serializer().dumps(session_dict)
        return stored.decode("latin-1")

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        """What was stored."""
        stored = session_data.encode("latin-1") if isinstance(session_data, str) else session_data
        loaded: dict[str, Any] = self.serializer().loads(stored)
        return loaded

    def load(self) -> dict[str, Any]:
        """What the session holds; an unknown or expired token is dropped, so that the next save draws a new one."""
        now = timezone.now()
        row = self._going_on().filter(token_hash=token_hash(self.session_key or ""), expires_at__gt=now).first()
        if row is None:
            self._session_key = None
            return {}
        self._started_at = row.started_at
        ends = self._expiry(row.started_at, now)
        if ends - row.expires_at >= RENEW_AFTER:
            self.modified = True
        return self.decode(row.data)

    def exists(self, session_key: str) -> bool:
        """Whether a session with this token is stored."""
        return self.sessions().filter(token_hash=token_hash(session_key)).exists()

    def create(self) -> None:
        """Draw a new token and store an empty session under it."""
        self._session_key = self._get_new_session_key()
        self._started_at = None
        self.save(must_create=True)
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        """Store the session. Raises UpdateError when it was ended meanwhile: it must not come back to life."""
        if self.session_key is None:
            self.create()
            return
        data: dict[str, Any] = cast("Any", self)._get_session(no_load=must_create)
        now = timezone.now()
        started_at = self._started_at or now
        fields: dict[str, Any] = {
            "data": self.encode(data),
            "account_id": data.get(SESSION_KEY),
            "started_at": started_at,
            "expires_at": self._expiry(started_at, now),
        }
        key = token_hash(self.session_key)
        if must_create:
            try:
                with transaction.atomic():
                    self.sessions().create(token_hash=key, **fields, **self._carried_over())
            except IntegrityError:
                raise CreateError from None
        elif not self._going_on().filter(token_hash=key).update(**fields):
            raise UpdateError
        self._started_at = started_at

    def delete(self, session_key: str | None = None) -> None:
        """End a session: this one, or the one with the given token."""
        token = session_key or self.session_key
        if token is not None:
            self._end(self._going_on().filter(token_hash=token_hash(token)))

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Seconds until the session ends if it is not used again."""
        now = timezone.now()
        return max(0, int((self._expiry(self._started_at or now, now) - now).total_seconds()))

    def _get_new_session_key(self) -> str:
        return secrets.token_urlsafe(32)

    def _expiry(self, started_at: datetime, now: datetime) -> datetime:
        return min(now + IDLE_LIMIT, started_at + ABSOLUTE_LIMIT)
