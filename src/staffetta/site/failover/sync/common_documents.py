"""The documents that both appliances had alike when they last agreed: what a merge after a break compares with."""

from collections.abc import Iterable, Mapping

from django.db import transaction

from staffetta.site.backup.restoring import WHEN_PUT_BACK
from staffetta.site.data.documents import Document
from staffetta.site.data.sync import Sync
from staffetta.site.failover.models import CommonDocument, SyncState


def write(peer: str, found: Iterable[Document], removed: Iterable[tuple[str, str]], kind: Sync = Sync.CONFIG) -> None:
    """Note what is common with this peer from now on; with another peer than before, nothing else is.

    Of live state only the digests are noted: it is never merged.
    """
    with transaction.atomic():
        if not common_with(peer):
            CommonDocument.objects.all().delete()
            SyncState.objects.update_or_create(only=True, defaults={"common_with": peer})
        for one in found:
            CommonDocument.objects.update_or_create(
                type=one.type,
                key=one.key,
                defaults={"digest": one.digest, "body": one.body if kind is Sync.CONFIG else None},
            )
        for label, key in removed:
            CommonDocument.objects.filter(type=label, key=key).delete()


def connect() -> None:
    """A copy of the database from before a restore has nothing in common: put back, its configuration holds."""
    WHEN_PUT_BACK.append(f"UPDATE {SyncState._meta.db_table} SET common_with = ''")  # noqa: S608 - a constant


def common_with(peer: str) -> bool:
    """Whether there is anything common with this peer."""
    return SyncState.objects.filter(only=True, common_with=peer).exists()


def digests(peer: str, kind: Sync) -> dict[tuple[str, str], str]:
    """The digest, as the peer's release computes it, of every document taken over from it."""
    if not common_with(peer):
        return {}
    rows = CommonDocument.objects.filter(body__isnull=kind is Sync.LIVE)
    return {(label, key): digest for label, key, digest in rows.values_list("type", "key", "digest")}


def named_bytes(peer: str, keys: Iterable[tuple[str, str]]) -> set[str]:
    """The SHA-256 of the blobs that these documents named: perhaps nobody names them any more."""
    wanted = set(keys)
    found = (body.get("sha256") for key, body in bodies(peer).items() if key in wanted) if wanted else ()
    return {one for one in found if isinstance(one, str)}


def bodies(peer: str) -> Mapping[tuple[str, str], Mapping[str, object]]:
    """The common version of every configuration document."""
    if not common_with(peer):
        return {}
    rows = CommonDocument.objects.filter(body__isnull=False)
    return {(one.type, one.key): one.body or {} for one in rows}
