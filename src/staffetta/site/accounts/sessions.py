"""The session engine of the site's pages: hashed tokens, and data that both appliances of a pair can read.

A web session by which a console has come online has a name that its consoles know it by. It stays the same when the
token is drawn anew, and the row stays for a while when the session is over: so a session that was ended can be told
from one that data-sync has not brought yet.
"""

import json
from typing import Any, Final, cast

from django.db import models, transaction
from django.utils import timezone

from staffetta.kernel.ids import new_id
from staffetta.site.accounts.models import WebSession
from staffetta.ui.signin.sessions import ABSOLUTE_LIMIT, HashedSession, HashedSessionStore
from staffetta.wire.signed import CREDENTIAL_LIFE

CONSOLE: Final = "console"
"""Under which key of a session's data its name for consoles is."""


class SessionStore(HashedSessionStore):
    """Keeps session data as JSON without the appliance's signature: it is in our own database, and replicated."""

    model_name = "accounts.WebSession"

    def for_consoles(self) -> str:
        """Return the name by which consoles know this session; it is drawn when it is first asked for."""
        if CONSOLE not in self:
            self[CONSOLE] = new_id()
        return str(self[CONSOLE])

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

    def _columns(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"console": data.get(CONSOLE)}
