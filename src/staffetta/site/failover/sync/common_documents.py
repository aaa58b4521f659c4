"""The documents that both appliances had alike when they last agreed: what a merge after a break compares with."""

from collections.abc import Iterable, Mapping

from django.db import transaction

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


def common_with(peer: str) -> bool:
    """Whether there is anything common with this peer."""
    return SyncState.objects.filter(only=True, common_with=peer).exists()


def digests(peer: str, kind: Sync) -> dict[tuple[str, str], str]:
    """The digest, as the peer's release computes it, of every document taken over from it."""
    if not common_with(peer):
        return {}
    rows = CommonDocument.objects.filter(body__isnull=kind is Sync.LIVE)
    return {(label, key): digest for label, key, digest in rows.values_list("type", "key", "digest")}


def bodies(peer: str) -> Mapping[tuple[str, str], Mapping[str, object]]:
    """The common version of every configuration document."""
    if not common_with(peer):
        return {}
    rows = CommonDocument.objects.filter(body__isnull=False)
    return {(one.type, one.key): one.body or {} for one in rows}
