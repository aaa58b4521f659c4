"""Revoking a client is a record, so that it reaches the peer and always wins: what is revoked stays revoked."""

from typing import Final

from staffetta.site.data.models import Record
from staffetta.site.data.projections import Projection, register
from staffetta.site.fleet.models import JumpClient

REVOKED: Final = "fleet.client-revoked"
ENROLLED: Final = "fleet.client-enrolled"
DELETED: Final = "fleet.client-deleted"


def _apply(record: Record) -> None:
    client = JumpClient.objects.filter(pk=str(record.body.get("client", ""))).first()
    if client is not None and (client.revoked_at is None or record.at < client.revoked_at):
        client.revoked_at = record.at
        client.save(update_fields=["revoked_at"])


def connect() -> None:
    """Register what revocation records do."""
    register(Projection("revocations", frozenset({REVOKED}), _apply, tables=()))
