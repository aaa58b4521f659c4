"""Pure: in which order two appliances move the shared address, so that no connection is refused (F9).

While both listen, new connections go where the group's rule says; the giver sets it to itself before the taker joins,
the taker sets it to itself once it listens. Only then does the giver let go. See docs/networking.md.
"""

from dataclasses import dataclass
from enum import StrEnum

from staffetta.control.pairing import SharedPhase


class Side(StrEnum):
    """Who acts: the appliance that has the traffic, or the one that gets it."""

    GIVER = "giver"
    TAKER = "taker"


class Part(StrEnum):
    """The parts of a swing, in order; after `PREPARE` nothing has moved yet."""

    PREPARE = "prepare"
    TAKE = "take"
    GIVE = "give"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Move:
    """One phase by one side."""

    part: Part
    side: Side
    phase: SharedPhase


_BOTH = (
    Move(Part.PREPARE, Side.GIVER, SharedPhase.HOLD),
    Move(Part.PREPARE, Side.TAKER, SharedPhase.JOIN),
    Move(Part.TAKE, Side.TAKER, SharedPhase.TURN),
    Move(Part.GIVE, Side.GIVER, SharedPhase.LEAVE),
    Move(Part.CHECK, Side.TAKER, SharedPhase.SETTLE),
)
_ALONE = (Move(Part.TAKE, Side.TAKER, SharedPhase.CLAIM),)


def moves(giver_answers: bool) -> tuple[Move, ...]:
    """The whole swing. A giver that does not answer gives nothing: the taker claims."""
    return _BOTH if giver_answers else _ALONE


def moves_of(part: Part, giver_answers: bool = True) -> tuple[Move, ...]:
    """The moves of one part; done again after a break, they change nothing that is done."""
    return tuple(move for move in moves(giver_answers) if move.part is part)
