"""What the peer's data-sync may read here: the list of documents, documents, heads of records, records, blobs."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from staffetta.kernel.clock import format_time
from staffetta.kernel.errors import InvalidInput
from staffetta.site.data import blobs, documents, identity, records
from staffetta.site.data.documents import Document
from staffetta.site.data.sync import Sync
from staffetta.site.failover.answers import ANSWERS, Asked
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.sync import common_documents
from staffetta.site.failover.sync.merge import changed
from staffetta.site.failover.sync.place import sealer

T = TypeVar("T")

RECORDS_AT_ONCE: Final = 2000
RECORD_BYTES_AT_ONCE: Final = 8 * 1024 * 1024
"""The record with which an answer reaches so many bytes is its last: no answer outgrows what the asker takes."""

DOCUMENTS_AT_ONCE: Final = 1000


class BadRequest(InvalidInput):
    """The peer asked for something that cannot be understood."""

    code = "bad-request"


def connect() -> None:
    """Put these answers into the table."""
    ANSWERS["GET", "documents/index"] = index
    ANSWERS["POST", "documents/fetch"] = fetch
    ANSWERS["POST", "documents/common"] = take_common
    ANSWERS["GET", "documents/edited"] = edited
    ANSWERS["GET", "records/heads"] = heads
    ANSWERS["POST", "records/fetch"] = fetch_records
    ANSWERS["GET", "blobs/"] = blob


def index(asked: Asked) -> dict[str, Any]:
    """The digests of every document of a kind, the types this release knows, and whether they may be taken."""
    kind = _kind(asked.parameters.get("kind"))
    wrap = sealer(asked.origin)
    state = SyncState.objects.filter(only=True).first()
    return {
        "role": identity.role(),
        "term": identity.role_term(),
        "reconciled": state is not None and state.reconciled,
        "types": [model._meta.label for model in documents.models_of(kind)],
        "documents": [[one.type, one.key, one.digest] for one in documents.collect(kind, wrap)],
    }


def fetch(asked: Asked) -> dict[str, Any]:
    """The documents of these keys that exist."""
    kind = _kind(asked.body.get("kind"))
    keys = _read(lambda: [(str(label), str(key)) for label, key in asked.body["keys"]])
    found = documents.fetch(kind, keys[:DOCUMENTS_AT_ONCE], sealer(asked.origin))
    return {"documents": [asdict(one) for one in found]}


def take_common(asked: Asked) -> dict[str, Any]:
    """The backup says what it has taken over: what both have from now on."""
    taken = _read(lambda: {(str(label), str(key)): str(digest) for label, key, digest in asked.body["taken"]})
    removed = _read(lambda: [(str(label), str(key)) for label, key in asked.body["removed"]])
    found = documents.fetch(Sync.CONFIG, taken, sealer(asked.origin))
    common_documents.write(asked.origin, [one for one in found if one.digest == taken[one.type, one.key]], removed)
    return {}


def edited(asked: Asked) -> dict[str, Any]:
    """Which configuration documents are not as both last had them: changed here, made here, or removed here."""
    common = common_documents.bodies(asked.origin)
    own = {(one.type, one.key): one.body for one in documents.collect(Sync.CONFIG, sealer(asked.origin))}
    return {"edited": [list(key) for key in sorted({*common, *own}) if changed(common.get(key), own.get(key))]}


def heads(asked: Asked) -> dict[str, Any]:
    """How far the records here go."""
    return {"heads": [[origin, one, last] for (origin, one), last in sorted(records.heads().items())]}


def fetch_records(asked: Asked) -> dict[str, Any]:
    """Records after the positions named, in order within each incarnation, up to a number and a size at once."""
    ranges = _read(lambda: [(str(a), str(b), int(c)) for a, b, c in asked.body["after"]])
    found: list[dict[str, Any]] = []
    size = 0
    for origin, incarnation, sequence in ranges:
        for one in records.after(origin, incarnation, sequence, RECORDS_AT_ONCE - len(found)):
            found.append({**asdict(one), "at": format_time(one.at)})
            size += len(json.dumps(one.body))
            if size >= RECORD_BYTES_AT_ONCE:
                return {"records": found}
    return {"records": found}


def blob(asked: Asked) -> Path:
    """The file of a blob."""
    return blobs.path_of(asked.rest)


def to_document(found: Any) -> Document:
    """A document as the peer sent it. Raises ``BadRequest``."""
    return _read(lambda: Document(str(found["type"]), str(found["key"]), dict(found["body"])))


def _kind(name: object) -> Sync:
    if name not in (Sync.CONFIG, Sync.LIVE):
        raise BadRequest("`kind` is config or live.")
    return Sync(str(name))


def _read(made: Callable[[], T]) -> T:
    try:
        return made()
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"The request cannot be read: {error}.") from None
