"""What this appliance is in its pair, as the gateway acts on it: role, term, whose addresses and certificates.

One frozen value, read anew whenever the role may have changed. An appliance that is in no pair has its own addresses.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from staffetta.kernel.clock import utc_now
from staffetta.site.data import identity
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.failover.models import Relationship

_LEAF: Final = re.compile(r"[0-9a-f]{64}")
_HEARD: Final = timedelta(seconds=10)
"""When the other appliance was heard is written down every five seconds."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What the relationship says: own addresses of both, as host:port, and what is known of the other one."""

    own: str
    peer: str
    peer_leaf: str
    peer_role: str
    peer_term: int
    peer_heard: bool = False
    """Whether what is known of the other one is of the last seconds."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``configured``: where this appliance's own description says that it is reached, the shared address first."""

    appliance: str
    role: Role
    role_term: int
    configured: tuple[str, ...]
    pair: Pair | None = None

    @property
    def serves(self) -> bool:
        """Whether clients, consoles and sessions belong here."""
        return self.role.serves

    @property
    def term(self) -> int:
        """The term of the reign this appliance knows of: a backup may have heard of its primary's before storing it."""
        if self.pair is not None and not self.serves and self.pair.peer_role == Role.PRIMARY:
            return max(self.role_term, self.pair.peer_term)
        return self.role_term

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients may dial: the shared address, the primary's own, the backup's own, what else is configured."""
        if self.pair is None:
            return self.configured
        own, peer = self.pair.own, self.pair.peer
        both = (own, peer) if self.serves else (peer, own)
        # Without an address that follows the primary, the first configured one is this appliance's own.
        shared = tuple(one for one in self.configured[:1] if one != own)
        return tuple(dict.fromkeys((*shared, *both, *self.configured)))

    @property
    def elsewhere(self) -> str | None:
        """The other appliance's own address: where the primary is when it is not here."""
        return None if self.pair is None else self.pair.peer

    @property
    def peer_role(self) -> str | None:
        """What the other appliance is, while it is heard."""
        return self.pair.peer_role if self.pair is not None and self.pair.peer_heard else None

    @property
    def pointer(self) -> tuple[str, ...]:
        """All addresses with the other appliance's own before every other."""
        first = () if self.elsewhere is None else (self.elsewhere,)
        return tuple(dict.fromkeys((*first, *self.addresses)))

    @property
    def peer_leaves(self) -> tuple[bytes, ...]:
        """The certificate that the other appliance showed last, if it is known."""
        leaf = "" if self.pair is None else self.pair.peer_leaf
        return (bytes.fromhex(leaf),) if _LEAF.fullmatch(leaf) else ()


def alone(addresses: tuple[str, ...], term: int = 1, appliance: str = "") -> Standing:
    """Return the standing of an appliance that is in no pair."""
    return Standing(appliance, Role.ALONE, term, addresses)


def read(configured: tuple[str, ...]) -> Standing:
    """Return what the database says now."""
    origin = identity.origin()  # makes the row if it is not there
    row = SiteInstance.objects.get(only=True)
    role = Role(row.role)
    related = None if role is Role.ALONE else Relationship.objects.filter(only=True, broken_at=None).first()
    return Standing(origin, role, row.role_term, configured, None if related is None else _pair(related))


def _pair(row: Relationship) -> Pair:
    return Pair(
        str(row.own),
        str(row.peer),
        row.peer_leaf,
        row.peer_role,
        row.peer_term,
        row.seen_at is not None and utc_now() - row.seen_at < _HEARD,
    )
