"""Pure: which way the traffic of this pair is moved, as the facts of both appliances say."""

from staffetta.site.failover.job_facts import ApplianceFacts, Do
from staffetta.site.failover.job_states import Side
from staffetta.site.failover.swing.shared_address import ABSENT, DISABLED, UNKNOWN, SharedAddressSwing, state_of
from staffetta.site.failover.swing.swing import Seen, Swing


class NothingToMove:
    """A ``Swing`` of no moves: a person points the site's name at B."""

    def ready(self) -> Seen:
        """It always is."""
        return Seen(True, "There is none: the site's name must be pointed at the backup by hand.")

    def before(self, term: int) -> tuple[Do, ...]:
        """Nothing."""
        return ()

    def after(self, term: int) -> tuple[Do, ...]:
        """Nothing."""
        return ()

    def moved(self, step: str) -> Seen:
        """Nothing was."""
        return Seen(True, "There is no shared address to move.")

    def back(self, step: str, primary: Side) -> Do | None:
        """Nothing."""
        return None


def swing_of(a: ApplianceFacts, b: ApplianceFacts) -> Swing:
    """The swing of this pair: its shared address, if either appliance has one that is enabled."""
    if {state_of(a), state_of(b)} <= {ABSENT, DISABLED, UNKNOWN}:
        return NothingToMove()
    return SharedAddressSwing(a, b)
