"""What data-sync has to know of this appliance's place in its pair: the key that wraps secrets for the peer."""

from staffetta.site.data import identity
from staffetta.site.failover.errors import NoRelationship
from staffetta.site.failover.models import PairIdentity
from staffetta.site.failover.sync.secrets import PairSealer


def sealer(peer: str) -> PairSealer:
    """Return what wraps secrets between this appliance and the peer of that origin. Raises ``NoRelationship``."""
    own = PairIdentity.objects.filter(only=True).first()
    if own is None or own.preshared_key is None:
        raise NoRelationship("No inter-appliance pre-shared key is set: set the same one on both appliances.")
    return PairSealer(own.preshared_key.reveal(), (identity.origin(), peer))
