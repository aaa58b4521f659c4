"""The link to the other appliance of a relationship: opened for once, or kept while the relationship is the same."""

from staffetta.site.data import identity as instance
from staffetta.site.failover import identity
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.peer import HttpsPeer
from staffetta.site.failover.reaching import Limits


def peer_of(relationship: Relationship, limits: Limits | None = None) -> HttpsPeer:
    """Return the other appliance of a relationship."""
    return HttpsPeer(
        relationship.peer,
        relationship.peer_origin,
        bytes(relationship.peer_key),
        instance.origin(),
        identity.pair_key(),
        limits,
    )


class KeptPeer:
    """Keeps the connection from one time to the next."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._peer: HttpsPeer | None = None
        self._of: tuple[object, ...] = ()

    def of(self, relationship: Relationship) -> HttpsPeer:
        """Return the other appliance; the same as before, unless the relationship is another one."""
        of = (
            relationship.peer_origin,
            relationship.peer_host,
            relationship.peer_port,
            relationship.established_at,
        )
        if self._peer is None or of != self._of:
            self.close()
            self._peer, self._of = peer_of(relationship, self._limits), of
        return self._peer

    def close(self) -> None:
        """Let go of the connection."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
