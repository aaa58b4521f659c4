"""Pulling the peer's records: what is there and not here, in order, its position in the same transaction."""

from collections.abc import Callable
from typing import Any

from staffetta.kernel.clock import parse_time
from staffetta.site.data import records
from staffetta.site.data.records import RecordText
from staffetta.site.failover.errors import PeerRefused
from staffetta.site.failover.peer import Peer


def pull(peer: Peer, tell: Callable[[int], None]) -> int:
    """Fetch every record that the peer has and this appliance has not; returns how many came.

    ``tell`` hears before every batch, and at the end, how many of them are still to come.
    """
    answer = peer.get("records/heads")
    theirs = {(str(origin), str(one)): int(last) for origin, one, last in _listed(answer, "heads")}
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
    except (KeyError, TypeError, ValueError) as error:
        raise PeerRefused(f"The peer sent a record that cannot be read: {error}.", "record") from None
