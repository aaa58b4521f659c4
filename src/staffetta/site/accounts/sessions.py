"""The session engine of the site's pages: hashed tokens, and data that both appliances of a pair can read.

A web session by which a console has come online has a name that its consoles know it by. It stays the same when the
token is drawn anew, and the row stays for a while when the session is over: so a session that was ended can be told
from one that data-sync has not brought yet.
"""

import json
from typing import Any, cast

from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import models, transaction
from django.utils import timezone

from staffetta.kernel.ids import new_id
from staffetta.site.accounts.models import WebSession
from staffetta.ui.signin.sessions import ABSOLUTE_LIMIT, HashedSession, HashedSessionStore, token_hash
from staffetta.wire.signed import CREDENTIAL_LIFE


class SessionStore(HashedSessionStore):
    """Keeps session data as JSON without the appliance's signature: it is in our own database, and replicated."""

    model_name = "accounts.WebSession"

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._console: str | None = None

    def for_consoles(self) -> str:
        """Return the name by which consoles know this stored session; it is drawn when it is first asked for.

        Whoever asks at the same time gets the same name, and no save of the session's data changes it. Raises
        SessionInterrupted (400) if the session was ended meanwhile.
        """
        row = self._row()
        row.filter(console=None).update(console=new_id())
        name = row.values_list("console", flat=True).first()
        if name is None:
            raise SessionInterrupted("This web session was ended meanwhile; sign in again.")
        return name

    def cycle_key(self) -> None:
        """Draw a new token; the session's consoles go along."""
        with transaction.atomic():
            self._console = self._row().values_list("console", flat=True).first()
            try:
                super().cycle_key()
            finally:
                self._console = None

    @classmethod
    def clear_expired(cls) -> None:
        """Delete the rows of sessions that are over, those with consoles when no credential for them is good."""
        now = timezone.now()
        over = models.Q(console=None) | models.Q(started_at__lte=now - ABSOLUTE_LIMIT - CREDENTIAL_LIFE)
        WebSession.objects.filter(over, expires_at__lte=now).delete()

    def encode(self, session_dict: dict[str, Any]) -> str:
        """Return the stored text."""
        return json.dumps(session_dict, separators=(",", ":"))

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        """Read the stored text; what is not ours counts as an empty session."""
        try:
            found = json.loads(session_data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @classmethod
    def _going_on(cls) -> models.QuerySet[HashedSession]:
        return WebSession.objects.filter(ended_at=None)

    @classmethod
    def _end(cls, rows: models.QuerySet[HashedSession]) -> int:
        now = timezone.now()
        ours = cast("models.QuerySet[WebSession]", rows)
        with transaction.atomic():
            # The release before this one knows by the expiry alone that they are over.
            kept = ours.exclude(console=None).update(ended_at=now, expires_at=now, data="{}")
            return kept + ours.filter(console=None).delete()[0]

    def _carried_over(self) -> dict[str, Any]:
        return {"console": self._console}

    def _row(self) -> models.QuerySet[WebSession]:
        return WebSession.objects.filter(token_hash=token_hash(self.session_key or ""), ended_at=None)
