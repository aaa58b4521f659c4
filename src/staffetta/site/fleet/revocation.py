"""Revoking a client is a record, so that it reaches the peer and always wins: what is revoked stays revoked."""

from typing import Final

from staffetta.site.data.documents import after_apply
from staffetta.site.data.models import Record
from staffetta.site.data.projections import Projection, register
from staffetta.site.fleet.models import JumpClient

REVOKED: Final = "fleet.client-revoked"
ENROLLED: Final = "fleet.client-enrolled"
DELETED: Final = "fleet.client-deleted"


def _apply(record: Record) -> None:
    client = JumpClient.objects.filter(pk=str(record.body.get("client", ""))).first()
    if client is not None and (client.revoked_at is None or record.at < client.revoked_at):
        # Not `save`: a revocation is a record, and holds on a backup too.
        JumpClient.objects.filter(pk=client.pk).update(revoked_at=record.at)


def _apply_all() -> None:
    for record in Record.objects.filter(kind=REVOKED):
        _apply(record)


def connect() -> None:
    """Register what revocation records do, also to documents that a peer or a backup brings."""
    register(Projection("revocations", frozenset({REVOKED}), _apply, tables=()))
    after_apply(_apply_all)
