"""Pure: what the pair job asks of every way to move its traffic: the shared address, and later DNS, NAT and by hand.

Rules:
- A swing is made anew from the facts at each turn and remembers nothing.
- Each move is one command that may be repeated, and counts once its answer is in the journal. The moves go in order;
  those of ``before`` move no traffic.
- The moves end with a look at who has the traffic; what it saw is the evidence.
"""

from dataclasses import dataclass
from typing import Protocol

from staffetta.site.failover.job_facts import Do
from staffetta.site.failover.job_states import Side


@dataclass(frozen=True, slots=True)
class Seen:
    """Whether it is as it should be, and the sentence that says so, or says what is wrong.

    ``passing``: what is wrong ends by itself in a moment.
    """

    ok: bool
    sentence: str
    passing: bool = False


class Swing(Protocol):
    """Traffic goes from A to B; ``step`` is the key of the step whose answers count, ``term`` the new role term."""

    def ready(self) -> Seen:
        """Whether A has the traffic and it can be moved: for the pre-flight."""
        ...

    def before(self, term: int) -> tuple[Do, ...]:
        """The moves while A is still primary."""
        ...

    def after(self, term: int) -> tuple[Do, ...]:
        """The moves once B is primary."""
        ...

    def moved(self, step: str) -> Seen:
        """What came of it when every move is done."""
        ...

    def back(self, step: str, primary: Side) -> Do | None:
        """In an undo, the next move that gives ``primary`` the traffic again; None when it has it."""
        ...
