"""Configuration and live state: the backup takes the primary's documents over; after a break the primary merges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from staffetta.site.data import audit, blobs, documents, identity, records
from staffetta.site.data.documents import SECRET, Document
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync, travels_with
from staffetta.site.failover.errors import PeerRefused, WrongRole
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.peer import Peer
from staffetta.site.failover.sync import common_documents
from staffetta.site.failover.sync.answers import DOCUMENTS_AT_ONCE, to_document
from staffetta.site.failover.sync.merge import Body, Conflict, Key, merge
from staffetta.site.failover.sync.place import sealer

CONFLICT: Final = "failover.conflict"
ACTOR: Final = "data-sync"

_TOLD: Final[set[str]] = set()
"""The peers that know all that this appliance has taken over, as far as this process knows."""


@dataclass(frozen=True, slots=True)
class _Index:
    """What the peer lists: the digest of each document, the types its release knows, and its place in the pair."""

    documents: Mapping[Key, str]
    types: frozenset[str]
    role: str
    term: int
    reconciled: bool


def pull(peer: Peer, kind: Sync) -> int:
    """Take over what differs from the primary, in one transaction; returns how many documents changed here.

    Raises ``WrongRole`` when this appliance is no backup, or the peer no primary of this reign or not merged yet.
    """
    listed = _index(peer, kind)
    theirs = listed.documents
    taken = common_documents.digests(peer.origin, kind)
    # Since it became a backup, once: what it changed itself before that is not what it had taken over.
    own_digests = None if is_reconciled() else _digests(kind, peer)
    unadopted = documents.unadopted()
    held = {
        key: digest
        for key, digest in taken.items()
        if key not in unadopted and (own_digests is None or own_digests.get(key) == digest)
    }
    found = _fetch(peer, kind, [key for key, digest in theirs.items() if held.get(key) != digest])
    own = {model._meta.label for model in documents.models_of(kind)}
    with transaction.atomic():
        _require_backup_of(listed)
        known = listed.types
        gone = [key for key in taken if key not in theirs and (key[0] in known or key[0] not in own)]
        if kind is Sync.CONFIG:
            # What never was the primary's either: a backup has no configuration of its own.
            gone += [key for key in _own_keys(kind) if key not in theirs and key not in taken and key[0] in known]
        former = common_documents.named_bytes(peer.origin, [*gone, *((one.type, one.key) for one in found)])
        left_out = documents.apply(kind, found, gone, sealer(peer.origin))
        # Not noted, what was left out is asked for again in the next round.
        found = [one for one in found if one not in left_out]
        common_documents.write(peer.origin, found, gone, kind)
        for sha256 in former:
            blobs.release(sha256)
        if kind is Sync.LIVE:
            # The second of the two kinds: from now on what was taken over is what is here.
            _reconciled()
    if kind is Sync.CONFIG:
        _tell(peer, found, gone)
    return len(found) + len(gone)


def _tell(peer: Peer, found: Iterable[Document], gone: Iterable[Key]) -> None:
    """Have the primary note what both have now: everything, once in each process and after an answer that was lost."""
    taken = {(one.type, one.key): one.digest for one in found}
    removed = [list(key) for key in gone]
    if peer.origin not in _TOLD:
        taken = common_documents.digests(peer.origin, Sync.CONFIG)
    _TOLD.discard(peer.origin)
    listed = [[*key, digest] for key, digest in taken.items()]
    for start in range(0, max(len(listed), len(removed)), DOCUMENTS_AT_ONCE):
        piece = slice(start, start + DOCUMENTS_AT_ONCE)
        peer.post("documents/common", {"taken": listed[piece], "removed": removed[piece]})
    _TOLD.add(peer.origin)


def reconcile(peer: Peer, *, set_back: bool = False) -> tuple[Conflict, ...]:
    """On the primary, once after establishing: join what the peer changed while the relationship was broken.

    With a peer that was never in a relationship with this appliance there is nothing to join: the primary's
    configuration holds. A primary that was ``set_back`` takes from the peer what it has forgotten. Conflicts are kept
    as records, which both appliances show.
    """
    done: tuple[Conflict, ...] = ()
    if common_documents.common_with(peer.origin):
        wrap = sealer(peer.origin)
        theirs = {(one.type, one.key): one.body for one in _everything(peer, Sync.CONFIG)}
        edited = None if set_back else _edited(peer)
        their_live = _everything(peer, Sync.LIVE)
        with transaction.atomic():
            # Only now, when nobody can change it: this appliance serves meanwhile.
            _require_primary()
            ours = {(one.type, one.key): one.body for one in documents.collect(Sync.CONFIG, wrap)}
            merged = merge(common_documents.bodies(peer.origin), ours, theirs, _unique(), edited)
            live = {(one.type, one.key) for one in documents.collect(Sync.LIVE, wrap)}
            added = [one for one in their_live if (one.type, one.key) not in live]
            written = [Document(*key, body) for key, body in merged.write.items()]
            documents.apply(Sync.CONFIG, written, merged.remove, wrap)
            documents.apply(Sync.LIVE, added, (), wrap)
            for conflict in merged.conflicts:
                records.append(CONFLICT, _shown(conflict))
                audit.note(ACTOR, CONFLICT, _named(conflict), _told(conflict))
            _reconciled()
        done = merged.conflicts
    else:
        with transaction.atomic():
            _require_primary()
            _reconciled()
    return done


def is_reconciled() -> bool:
    """Whether this appliance, in the role it has, has once compared all its configuration with the peer's."""
    return SyncState.objects.filter(only=True, reconciled=True).exists()


def _reconciled() -> None:
    SyncState.objects.update_or_create(only=True, defaults={"reconciled": True})


def _require_primary() -> None:
    if identity.role() is not Role.PRIMARY:
        raise WrongRole("Configuration is joined by a primary only.")


def _require_backup_of(listed: _Index) -> None:
    if identity.role() is not Role.BACKUP:
        raise WrongRole("Configuration is taken over by a backup only.")
    if listed.role != Role.PRIMARY or listed.term < identity.role_term():
        raise WrongRole("The peer is not the primary of this pair at the moment.")
    if not listed.reconciled:
        raise WrongRole("The primary is still joining what changed while the relationship was broken.")


def _everything(peer: Peer, kind: Sync) -> list[Document]:
    """All of a kind that the peer has, which must be a backup: another might change it meanwhile."""
    listed = _index(peer, kind)
    if listed.role != Role.BACKUP:
        raise WrongRole("The peer has not become the backup yet.")
    return _fetch(peer, kind, listed.documents)


def _index(peer: Peer, kind: Sync) -> _Index:
    found = peer.get("documents/index", {"kind": kind})
    try:
        listed = {(str(label), str(key)): str(digest) for label, key, digest in found["documents"]}
        types = frozenset(str(one) for one in found["types"])
        return _Index(listed, types, str(found["role"]), int(found["term"]), found["reconciled"] is True)
    except (KeyError, TypeError, ValueError) as error:
        raise PeerRefused(f"The peer's list of documents cannot be read: {error}.", "answer") from None


def _edited(peer: Peer) -> frozenset[Key] | None:
    """What the peer says to have changed since both had it alike; None when its release cannot say."""
    try:
        found = peer.get("documents/edited")["edited"]
        return frozenset((str(label), str(key)) for label, key in found)
    except PeerRefused as error:
        if error.reason == "no-such-question":
            return None
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise PeerRefused(f"The peer's list of changes cannot be read: {error}.", "answer") from None


def _digests(kind: Sync, peer: Peer) -> dict[Key, str]:
    return {(one.type, one.key): one.digest for one in documents.collect(kind, sealer(peer.origin))}


def _fetch(peer: Peer, kind: Sync, keys: Iterable[Key]) -> list[Document]:
    wanted = list(keys)
    found: list[Document] = []
    for start in range(0, len(wanted), DOCUMENTS_AT_ONCE):
        piece = [list(key) for key in wanted[start : start + DOCUMENTS_AT_ONCE]]
        answer = peer.post("documents/fetch", {"kind": kind, "keys": piece})
        if not isinstance(answer.get("documents"), list):
            raise PeerRefused("The peer's answer holds no documents.", "answer")
        found += [to_document(one) for one in answer["documents"]]
    return found


def _own_keys(kind: Sync) -> list[Key]:
    return [
        (model._meta.label, documents.key_of(row))
        for model in documents.models_of(kind)
        for row in model._base_manager.filter(**travels_with(model).only)
    ]


def _unique() -> dict[str, list[str]]:
    """The fields of each type whose value may stand once only; keys are unique by being keys."""
    found: dict[str, list[str]] = {}
    for model in documents.models_of(Sync.CONFIG):
        fields = [one.name for one in model._meta.concrete_fields if one.unique and not one.primary_key]
        found[model._meta.label] = fields
    return found


def _shown(conflict: Conflict) -> dict[str, Any]:
    """A conflict as a record: who reads it sees what differed, and no secret."""
    return {
        "type": conflict.key[0],
        "key": conflict.key[1],
        "kept": _redacted(conflict.kept),
        "lost": _redacted(conflict.lost),
    }


def _named(conflict: Conflict) -> str:
    """What a person knows the document by: the name in it if there is one."""
    label, key = conflict.key
    both = {**(conflict.lost or {}), **(conflict.kept or {})}
    return f"{label} {next((both[field] for field in ('username', 'name') if both.get(field)), key)}"


def _told(conflict: Conflict) -> dict[str, str]:
    """A conflict in the audit log: what was kept, and which fields differed; their values are in the record."""
    kept, lost = conflict.kept, conflict.lost
    if kept is None:
        return {"kept": "none", "lost": "the backup's"}
    if lost is None:
        return {"kept": "the primary's", "lost": "the removal on the backup"}
    differed = sorted(name for name in kept.keys() & lost.keys() if kept[name] != lost[name])
    return {"kept": "the primary's", "differed": ", ".join(differed)}


def _redacted(body: Body | None) -> Body | None:
    if body is None:
        return None
    secret = {"password", "secret_sha256"}
    return {
        name: "[secret]" if name in secret or (isinstance(value, dict) and SECRET in value) else value
        for name, value in body.items()
    }
