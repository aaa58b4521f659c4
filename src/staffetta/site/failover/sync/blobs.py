"""Fetching the bytes that something here refers to and that are not here yet: resumed, checked, one by one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.data import blobs
from staffetta.site.data.errors import BlobDamaged
from staffetta.site.failover.errors import PeerRefused
from staffetta.site.failover.peer import Peer

_log = get_logger(__name__)

_CHECK_ROOM_BYTES: Final = 8 * 1024**2


@dataclass(slots=True)
class BlobsFetched:
    """What one round brought, and what is still missing (bytes)."""

    fetched: int = 0
    behind: int = 0
    bytes_behind: int = 0
    problems: list[str] = field(default_factory=list)


def pull(peer: Peer, go_on: Callable[[], bool]) -> BlobsFetched:
    """Fetch what is missing, the small ones first, for as long as ``go_on`` says so.

    A blob that the peer lacks or that arrives damaged holds up no other. Raises ``PeerUnreachable``; what has arrived
    of a blob stays and is gone on with.
    """
    found = BlobsFetched()
    for sha256, size in blobs.missing():
        if not go_on():
            found.behind += 1
            found.bytes_behind += size
            continue
        try:
            if _fetch(peer, sha256, size, go_on):
                found.fetched += 1
                continue
            found.behind += 1
            found.bytes_behind += size - blobs.incoming_path(sha256).stat().st_size
        except PeerRefused as error:
            # The peer has not got it yet either, or no longer.
            _log.info("a blob is not to be had", extra={"sha256": sha256, "reason": error.message})
            found.behind += 1
            found.bytes_behind += size
        except BlobDamaged as error:
            _log.warning("a blob arrived damaged; it is fetched anew", extra={"reason": error.message})
            blobs.incoming_path(sha256).unlink(missing_ok=True)
            found.behind += 1
            found.bytes_behind += size
            found.problems.append(error.message)
        except StaffettaError:
            found.behind += 1
            raise
    return found


def _fetch(peer: Peer, sha256: str, size: int, go_on: Callable[[], bool]) -> bool:
    """Fetch a blob, or some more of it; say whether it is whole. Raises ``BlobDamaged``."""
    path = blobs.incoming_path(sha256)
    with path.open("ab") as file:
        start = file.tell()
        if start > size:
            file.truncate(0)
            start = 0
        unchecked = _CHECK_ROOM_BYTES
        if start < size:
            for piece in peer.stream(f"blobs/{sha256}", start):
                if file.tell() + len(piece) > size:
                    raise BlobDamaged(f"The peer sends more than the {size} bytes of {sha256}.")
                if unchecked >= _CHECK_ROOM_BYTES:
                    blobs.require_room(path.parent, _CHECK_ROOM_BYTES)
                    unchecked = 0
                file.write(piece)
                unchecked += len(piece)
                if file.tell() < size and not go_on():
                    return False
    # Not in a transaction: nobody waits for the database while a large file is read once more.
    blobs.adopt(path, sha256, size)
    return True
