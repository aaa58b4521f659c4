"""Writing down who did what: one record of kind ``audit`` per act, in the act's own transaction."""

from collections.abc import Mapping
from typing import Final

from staffetta.site.data import records
from staffetta.site.data.models import Record

AUDIT: Final = "audit"


def note(actor: str, action: str, subject: str = "", detail: Mapping[str, str | int | bool] | None = None) -> Record:
    """Record an act. ``actor`` is a user name (or `command line`), ``action`` a stable word like `user.made`."""
    return records.append(AUDIT, {"actor": actor, "action": action, "subject": subject, "detail": dict(detail or {})})
