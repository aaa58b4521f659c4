"""What every way to move the traffic of a pair can do: the shared address, and later DNS, NAT and by hand."""

from typing import Protocol

from staffetta.kernel.errors import Conflict
from staffetta.site.failover.errors import FailoverError


class SwingFailed(FailoverError, Conflict):
    """The traffic does not go where it should, or cannot be moved as things are; the message says what to do."""

    code = "swing-failed"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class Swing(Protocol):
    """Each part may be done again; it raises ``SwingFailed``, an error of the peer, or what base says."""

    def prepare(self) -> None:
        """Make sure that it can be done, and get both sides ready; no traffic has moved when this returns."""
        ...

    def take(self) -> None:
        """New connections go to the taker from now on."""
        ...

    def give(self) -> None:
        """The giver lets go; what is established there stays."""
        ...

    def check(self) -> str:
        """See that it took effect; returns a sentence about it."""
        ...


def swing_over(swing: Swing) -> str:
    """The whole of it, in order."""
    swing.prepare()
    swing.take()
    swing.give()
    return swing.check()
