"""Pulling the peer's records: what is there and not here, in order, its position in the same transaction."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction

from staffetta.kernel.clock import parse_time
from staffetta.kernel.errors import InvalidInput
from staffetta.site.data import identity, records
from staffetta.site.data.records import RecordText
from staffetta.site.failover.errors import PeerRefused, WrongRole
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.peer import Peer

Heads = Mapping[tuple[str, str], int]


def pull(peer: Peer, tell: Callable[[int], None]) -> int:
    """Fetch every record that the peer has and this appliance has not; returns how many came.

    ``tell`` hears before every batch, and at the end, how many of them are still to come.
    """
    theirs = _heads(peer)
    records.fence(theirs)
    came = 0
    while True:
        own = records.heads()
        missing = {place: last - own.get(place, 0) for place, last in theirs.items() if own.get(place, 0) < last}
        tell(sum(missing.values()))
        if not missing:
            return came
        behind = [[*place, own.get(place, 0)] for place in sorted(missing)]
        found = [_record(one) for one in _listed(peer.post("records/fetch", {"after": behind}), "records")]
        new = records.insert_foreign(found)
        if not new:
            raise PeerRefused("The peer names records that it does not hand out; its data may be damaged.", "records")
        came += new


def note_set_back(peer: Peer) -> bool:
    """Say whether this appliance was set back to an older copy of itself: the peer has more of its records than it has.

    Its incarnations are closed then, and its configuration is to be compared with the peer's once more.
    """
    theirs = _heads(peer)
    with transaction.atomic():
        if not _forgotten(identity.origin(), theirs, records.heads()):
            return False
        records.fence(theirs)
        SyncState.objects.update_or_create(only=True, defaults={"reconciled": False})
    return True


def require_whole_memory(peer: Peer) -> None:
    """Raise ``WrongRole`` when the peer has forgotten records of its own: it was set back, and does not know it yet."""
    if _forgotten(peer.origin, records.heads(), _heads(peer)):
        raise WrongRole("The primary was set back to an older copy of itself, and joins what it has forgotten first.")


def _forgotten(origin: str, seen: Heads, remembered: Heads) -> bool:
    """Whether of an appliance's own records more was seen elsewhere than it remembers."""
    return any(place[0] == origin and last > remembered.get(place, 0) for place, last in seen.items())


def _heads(peer: Peer) -> dict[tuple[str, str], int]:
    listed = _listed(peer.get("records/heads"), "heads")
    try:
        return {(str(origin), str(one)): int(last) for origin, one, last in listed}
    except (TypeError, ValueError) as error:
        raise PeerRefused(f"The peer's list of records cannot be read: {error}.", "heads") from None


def _listed(answer: dict[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise PeerRefused(f"The peer's answer holds no {name}.", "answer")
    return found


def _record(found: Any) -> RecordText:
    try:
        return RecordText(
            str(found["origin"]),
            str(found["incarnation"]),
            int(found["sequence"]),
            str(found["kind"]),
            parse_time(found["at"]),
            dict(found["body"]),
        )
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise PeerRefused(f"The peer sent a record that cannot be read: {error}.", "record") from None
